"""Errors in single lines."""

from __future__ import annotations

import pytest

from ita_pipeline.corpus.findings import FindingKind
from ita_pipeline.corpus.line_errors import REFUSED, LineError, raise_unless_tolerated


@pytest.mark.parametrize("kind", FindingKind)
def test_only_what_a_reader_cannot_repair_is_raised(kind: FindingKind):
    error = LineError(kind, "posts.txt", 3, "bad tag", "use B-PER")
    if kind not in REFUSED:
        raise_unless_tolerated(error)
        return
    with pytest.raises(LineError, match=r"posts\.txt, line 3: bad tag") as caught:
        raise_unless_tolerated(error)
    assert caught.value.hint == "use B-PER"
