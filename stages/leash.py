"""Tesseract on a leash: it dies with the process that started it, and has no more memory than it is allowed.

pytesseract is not used, because it drops what Tesseract complains of when it ends well: short of memory,
Leptonica gives up a step with a message, and Tesseract may go on to an empty table and exit code 0.
"""

from __future__ import annotations

import io
import os
import signal
import subprocess
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from stages.base import BadItemError, FailureKind, StageError

if TYPE_CHECKING:
    from PIL.Image import Image

# $1 is the memory in kilobytes, $2 the process to die with; what follows them is run in place of the shell.
# That process may be gone before setpriv has spoken, so that nothing would come: hence the look at PPID after it.
# The signal is sent when the *thread* that started Tesseract ends, which is fine as long as that one waits for it.
# Where setpriv cannot do this (BusyBox) or is missing (macOS, without `ulimit -v` too), Tesseract runs without.
LEASH = """
parent=$2
ulimit -c 0
ulimit -v "$1" 2>/dev/null
shift 2
if setpriv --pdeathsig KILL true 2>/dev/null; then
    exec setpriv --pdeathsig KILL sh -c 'test "$PPID" = "$0" && exec "$@"' "$parent" "$@"
fi
exec "$@"
"""

OUT_OF_MEMORY = (
    "bad_alloc",
    "malloc fail",
    "out of memory",
    "insufficient memory",
    "cannot allocate memory",
    "failed to map segment",
)
CRASHES = {-signal.SIGABRT, -signal.SIGSEGV, -signal.SIGKILL}
NOT_STARTED = {126, 127}


def image_to_data(picture: Image, arguments: Sequence[str], timeout: int, memory: int) -> dict[str, list[Any]]:
    """Tesseract's table by columns: `text` as it is, all others as whole numbers.

    Args:
        picture: What to read.
        arguments: Tesseract's own, such as `--psm 11`.
        timeout: Seconds after which Tesseract is killed.
        memory: Megabytes of address space.

    Raises:
        BadItemError: Tesseract failed on this picture, or found too little time or memory for it.
        StageError: it cannot be started at all.
    """
    encoded = io.BytesIO()
    picture.save(encoded, "PNG", compress_level=1)
    command = ["tesseract", "-", "-", *arguments, "-c", "tessedit_create_tsv=1"]
    try:
        done = subprocess.run(
            leashed(command, memory), input=encoded.getvalue(), capture_output=True, timeout=timeout, check=False
        )
    except subprocess.TimeoutExpired as error:
        # A time-out must never look like a picture without text.
        raise BadItemError(f"Tesseract took longer than {timeout} s", FailureKind.RESOURCE) from error
    check(done.returncode, " ".join(done.stderr.decode(errors="replace").split()), memory)
    return columns(done.stdout.decode(errors="replace"))


def leashed(command: Sequence[str], memory: int) -> list[str]:
    return ["sh", "-c", LEASH, "leash", str(memory * 1024), str(os.getpid()), *command]


def check(code: int, said: str, memory: int) -> None:
    """Raise what an exit code and complaints mean; a table made without enough memory is not to be believed.

    Raises:
        BadItemError: the table is missing or wrong.
        StageError: there is no Tesseract, or it cannot be started.
    """
    allowed = f"ocr.memory allows it {memory} MB"
    if any(sign in said.lower() for sign in OUT_OF_MEMORY):
        raise BadItemError(f"Tesseract ran out of memory: {allowed}", FailureKind.RESOURCE)
    if code in CRASHES:
        name = signal.Signals(-code).name
        raise BadItemError(f"Tesseract crashed ({name}), perhaps out of memory: {allowed}", FailureKind.RESOURCE)
    if code in NOT_STARTED:
        raise StageError(f"Tesseract does not start: {said[:200]}", "tesseract --version shows why")
    if code:
        # Whether the picture or the machine is to blame, Tesseract does not say.
        raise BadItemError(f"Tesseract: {said[:200] or f'exit code {code}'}", FailureKind.TRANSIENT)


def columns(table: str) -> dict[str, list[Any]]:
    header, *rows = [line.split("\t") for line in table.rstrip("\n").split("\n")]
    if header[-1] != "text" or any(len(row) != len(header) for row in rows):
        raise BadItemError("Tesseract's table is damaged", FailureKind.TRANSIENT)
    found: dict[str, list[Any]] = {
        name: [int(float(row[index])) for row in rows] for index, name in enumerate(header[:-1])
    }
    return {**found, "text": [row[-1] for row in rows]}
