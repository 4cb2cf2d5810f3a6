"""A running `ita demo` that all tests of this folder share."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.demo_server import Server, train


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    root = tmp_path_factory.mktemp("demo")
    run = train(root)
    # The name of the dataset stands for its only run; the workspace is elsewhere than the current folder.
    program = [str(Path(sys.executable).parent / "ita"), "demo", "mine", "--port", "0", "--workspace", str(root)]
    with (
        (root / "err.txt").open("w") as err,
        subprocess.Popen(program, stdout=subprocess.PIPE, stderr=err, text=True, cwd=root) as process,
    ):
        assert process.stdout is not None
        address = process.stdout.readline().strip()
        assert address, (root / "err.txt").read_text()
        yield Server(process, address, run, root / "mine" / "sign.png")
        process.send_signal(signal.SIGINT)
        code = process.wait(timeout=30)
    messages = (root / "err.txt").read_text().splitlines()
    assert code == 0
    assert messages[-2:] == [
        "stopped; texts and pictures were not kept",
        f"hint: start it again with: ita {' '.join(program[1:])}",
    ]
    assert not [line for line in messages if "Traceback" in line]
