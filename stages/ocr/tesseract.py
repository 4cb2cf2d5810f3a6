"""Run Tesseract so that it ends with the process that started it and stays within its memory limit."""

from __future__ import annotations

import io
import os
import re
import signal
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from stages.base import (
    BadItemError,
    FailureKind,
    StageError,
)

if TYPE_CHECKING:
    from PIL.Image import Image


INSTALL = (
    "Debian, Ubuntu: apt-get install tesseract-ocr tesseract-ocr-eng; Fedora: dnf install tesseract; "
    "macOS: brew install tesseract"
)


USUAL_FOLDERS = (
    "/usr/share/tesseract-ocr/4.00/tessdata",
    "/usr/share/tesseract-ocr/5/tessdata",
    "/usr/share/tessdata",
    "/usr/share/tesseract/tessdata",
    "/usr/local/share/tessdata",
    "/opt/homebrew/share/tessdata",
)


@contextmanager
def one_thread_each() -> Iterator[None]:
    """Keep each Tesseract to one OpenMP thread: several spin against each other and are 2 to 30 times slower.

    The variable is taken back afterwards, lest a library loaded later in this process obey it as well.
    (https://github.com/tesseract-ocr/tesseract/issues/2609)
    """
    before = os.environ.get("OMP_THREAD_LIMIT")
    os.environ["OMP_THREAD_LIMIT"] = "1"
    try:
        yield
    finally:
        if before is None:
            del os.environ["OMP_THREAD_LIMIT"]
        else:
            os.environ["OMP_THREAD_LIMIT"] = before


def installed_tesseract() -> tuple[str, Path]:
    """Version, and the folder of the language files.

    Raises:
        StageError: Tesseract does not answer, or its language files are in no known place.
    """

    def say(argument: str) -> str:
        command = ["tesseract", argument]
        done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
        return done.stdout + done.stderr

    try:
        version = re.search(r"tesseract v?(\S+)", say("--version"))
        named = re.search(r'languages in "?(.+?)"? \(\d+\)', say("--list-langs"))
    except (OSError, subprocess.TimeoutExpired) as error:
        raise StageError(f"Tesseract is installed but does not answer: {error}", INSTALL) from error
    # Tesseract 4 does not name the folder.
    usual = [os.environ.get("TESSDATA_PREFIX", ""), *USUAL_FOLDERS]
    places = [Path(named[1])] if named else [Path(place) for place in usual if place]
    folder = next((place for place in places if any(place.glob("*.traineddata"))), None)
    if version is None or folder is None:
        raise StageError(
            "Tesseract is installed, but its languages are nowhere to be found", "set TESSDATA_PREFIX to them"
        )
    return version[1], folder


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


COLUMNS = [
    *("level", "page_num", "block_num", "par_num", "line_num", "word_num"),
    *("left", "top", "width", "height", "conf", "text"),
]

WORD = 5


class ArithmeticCrashError(BadItemError):
    """Tesseract divided by zero, or the like: an error of its own that some pictures set off, the same each time.

    (https://github.com/tesseract-ocr/tesseract/issues/3991, .../4242)
    """


class TableWord(NamedTuple):
    """A row of Tesseract's table: confidence in 0..1, box xyxy, and the numbers of block, paragraph and line."""

    text: str
    confidence: float
    box: tuple[int, int, int, int]
    line: tuple[int, int, int]


def read_pages(
    pictures: Sequence[Image], arguments: Sequence[str], timeout: int, memory: int
) -> list[list[TableWord]]:
    """The words of each picture, read by one Tesseract, whose start costs more than reading a line.

    They go in as the pages of one TIFF, through a pipe: nothing is left on the disk, whoever dies.

    Args:
        pictures: What to read, grey or RGB.
        arguments: Tesseract's own, such as `--psm 11`.
        timeout: Seconds after which Tesseract is killed, for all pictures together.
        memory: Megabytes of address space.

    Raises:
        BadItemError: Tesseract failed on one of these pictures, or found too little time or memory for them.
        ArithmeticCrashError: one of them sets off an error in Tesseract.
        StageError: it cannot be started at all.
    """
    if not pictures:
        return []
    encoded = io.BytesIO()
    # Copies, since a picture remembers how it was saved in another format, and Pillow trips over it.
    first, *others = (picture.copy() for picture in pictures)
    first.save(encoded, "TIFF", save_all=True, append_images=others)
    command = ["tesseract", "-", "-", *arguments, "-c", "tessedit_create_tsv=1"]
    try:
        done = subprocess.run(
            leashed(command, memory), input=encoded.getvalue(), capture_output=True, timeout=timeout, check=False
        )
    except subprocess.TimeoutExpired as error:
        # A time-out must never look like a picture without text.
        raise BadItemError(f"Tesseract took longer than {timeout} s", FailureKind.RESOURCE) from error
    check(done.returncode, complaints(done.stderr), memory)
    return words_by_page(done.stdout.decode(errors="replace"), len(pictures))


def complaints(said: bytes) -> str:
    """What Tesseract said besides the number of each page."""
    lines = said.decode(errors="replace").splitlines()
    return " ".join(" ".join(line.split()) for line in lines if not re.fullmatch(r"Page \d+", line.strip()))


def leashed(command: Sequence[str], memory: int) -> list[str]:
    return ["sh", "-c", LEASH, "leash", str(memory * 1024), str(os.getpid()), *command]


def check(code: int, said: str, memory: int) -> None:
    """Raise what an exit code and complaints mean; a table made without enough memory is not to be believed.

    Raises:
        BadItemError: the table is missing or wrong.
        ArithmeticCrashError: it is missing, and always will be.
        StageError: there is no Tesseract, or it cannot be started.
    """
    allowed = f"ocr.memory allows it {memory} MB"
    if any(sign in said.lower() for sign in OUT_OF_MEMORY):
        raise BadItemError(f"Tesseract ran out of memory: {allowed}", FailureKind.RESOURCE)
    if code == -signal.SIGFPE:
        raise ArithmeticCrashError("Tesseract crashed (SIGFPE), by an error of its own")
    if code in CRASHES:
        name = signal.Signals(-code).name
        raise BadItemError(f"Tesseract crashed ({name}), perhaps out of memory: {allowed}", FailureKind.RESOURCE)
    if code in NOT_STARTED:
        raise StageError(f"Tesseract does not start: {said[:200]}", "tesseract --version shows why")
    if code:
        # Whether the picture or the machine is to blame, Tesseract does not say.
        raise BadItemError(f"Tesseract: {said[:200] or f'exit code {code}'}", FailureKind.TRANSIENT)


def words_by_page(table: str, pages: int) -> list[list[TableWord]]:
    """
    Raises:
        BadItemError: a page is missing, or a row is not as it should be.
    """
    header, *rows = [line.split("\t") for line in table.rstrip("\n").split("\n")]
    found: list[list[TableWord]] = [[] for _ in range(pages)]
    seen: set[int] = set()
    try:
        if header != COLUMNS:
            raise ValueError(header)
        for row in rows:
            level, page, block, paragraph, line, _, left, top, width, height = map(int, row[:10])
            confidence, text = float(row[10]), row[11].strip()
            seen.add(page)
            if level == WORD and text and confidence >= 0:
                box = (left, top, left + width, top + height)
                word = TableWord(text, round(confidence / 100, 4), box, (block, paragraph, line))
                found[page - 1].append(word)
    except (ValueError, IndexError) as error:
        raise BadItemError("Tesseract's table is damaged", FailureKind.TRANSIENT) from error
    if seen != set(range(1, pages + 1)):
        raise BadItemError("Tesseract's table is damaged", FailureKind.TRANSIENT)
    return found
