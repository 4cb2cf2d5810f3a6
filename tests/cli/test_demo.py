from __future__ import annotations

from typing import Any

import pytest

from tests.support.fakes import ita_here


@pytest.mark.parametrize(("host", "warned"), [("127.0.0.1", False), ("0.0.0.0", True)])
def test_the_demo_warns_when_other_machines_can_connect(monkeypatch: pytest.MonkeyPatch, host: str, warned: bool):
    def served(run: str, host: str, port: int, options: Any, ready: Any) -> None:
        ready(f"http://{host}:{port}/", host == "127.0.0.1", ("captions are computed here",))

    monkeypatch.setattr("ita_pipeline.server.serve.demo", served)
    answer = ita_here("demo", "example", "--host", host, "--port", "8765")
    assert answer.code == 0
    assert answer.out == f"http://{host}:8765/\n"
    assert ("warning: anyone who can reach this machine" in answer.err) == warned
    assert "captions are computed here" in answer.err
