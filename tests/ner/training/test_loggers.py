"""The log of a training that was killed is the one of a training that was not."""

from __future__ import annotations

import json
from pathlib import Path

from ita_pipeline.ner.training.loggers import TrainingLog


def test_what_will_happen_again_is_dropped_and_so_is_a_torn_line():
    log = TrainingLog(Path("desk/log.jsonl"))
    log.rewind(0)
    for step in range(1, 6):
        log.write("update", step, {"loss": step / 3})
    before = log.file.read_text().splitlines(keepends=True)
    for cut in range(len(before[-1]) + 1):
        log.file.write_text("".join(before[:-1]) + before[-1][:cut])
        log.rewind(4)
        assert log.file.read_text() == "".join(before[:4])
    log.rewind(2)
    log.write("epoch", 3, {})
    assert [json.loads(line)["step"] for line in log.file.read_text().splitlines()] == [1, 2, 3]
    log.file.write_text('no json\n[]\n{"step": "x"}\n')
    log.rewind(9)
    assert log.file.read_text() == ""
