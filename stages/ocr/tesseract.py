"""Run Tesseract with pytesseract, limited in memory, threads and lifetime by `tesseract_guard.sh`."""

from __future__ import annotations

import os
import re
import shlex
import signal
import subprocess
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from types import ModuleType

from PIL.Image import Image

from stages.base import BadItemError, FailureKind, StageError
from stages.ocr.schema import Word

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


def find_tesseract() -> tuple[str, Path]:
    """Return Tesseract's version, and the folder of its language files.

    Raises:
        StageError: Tesseract does not run, is killed twice, or its language files are in no known folder.
    """

    def run(argument: str) -> str:
        code = 0
        for _ in range(2):  # a process may be killed by chance once, but hardly twice
            command = ["tesseract", argument]
            process = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
            code = _signal_as_negative(process.returncode)
            if code >= 0:
                return process.stdout + process.stderr
        message = f"Tesseract was killed twice when it was asked for its {argument} ({_signal_name(code)})"
        raise StageError(message, "run the command again; the system's log says whether memory ran out")

    try:
        version = re.search(r"tesseract v?(\S+)", run("--version"))
        listed = re.search(r'languages in "?(.+?)"? \(\d+\)', run("--list-langs"))
    except (OSError, subprocess.TimeoutExpired) as error:
        raise StageError(f"Tesseract is installed but does not answer: {error}", INSTALL) from error
    # Tesseract 4 does not print the folder.
    usual = [os.environ.get("TESSDATA_PREFIX", ""), *USUAL_FOLDERS]
    folders = [Path(listed[1])] if listed else [Path(folder) for folder in usual if folder]
    folder = next((folder for folder in folders if any(folder.glob("*.traineddata"))), None)
    if version is None or folder is None:
        message = "Tesseract is installed, but its languages are nowhere to be found"
        raise StageError(message, "set TESSDATA_PREFIX to them")
    return version[1], folder


def _signal_as_negative(code: int) -> int:
    """Return an exit code as `subprocess` gives it, negative for a signal, where a shell has added 128 to it."""
    return 128 - code if code - 128 in signal.valid_signals() else code


def _signal_name(code: int) -> str:
    try:
        return signal.Signals(-code).name
    except ValueError:
        return f"signal {-code}"


GUARD = Path(__file__).with_name("tesseract_guard.sh")

OUT_OF_MEMORY = (
    "bad_alloc",
    "alloc fail",
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

WORD_LEVEL = 5


class KilledError(BadItemError):
    """Tesseract was ended by a signal. That may have been by chance, as where other programs took the memory."""


class ArithmeticCrashError(BadItemError):
    """An arithmetic error in Tesseract, such as a division by zero. The same image causes it every time.

    (https://github.com/tesseract-ocr/tesseract/issues/3991, .../4242)
    """


def load_pytesseract(guard: Path = GUARD) -> ModuleType:
    """Import pytesseract, which loads pandas, and make it run Tesseract through the guard."""
    import pytesseract

    pytesseract.pytesseract.tesseract_cmd = str(guard)
    return pytesseract


def read_pages(
    images: Sequence[Image], arguments: Sequence[str], timeout: int, memory: int, guard: Path = GUARD
) -> list[list[Word]]:
    """Return the words of each image. One Tesseract process reads all of them, because its start is expensive.

    Args:
        images: Gray or RGB images.
        arguments: Tesseract's own, such as `--psm 11`.
        timeout: Seconds after which Tesseract is killed, for all images together.
        memory: Megabytes of address space.
        guard: The program that limits Tesseract.

    Raises:
        BadItemError: Tesseract failed on one of the images, or had too little time or memory for them.
        KilledError: Tesseract was ended by a signal.
        ArithmeticCrashError: One of the images sets off an error in Tesseract.
        StageError: Tesseract cannot be started.
    """
    if not images:
        return []
    with TemporaryDirectory(prefix="ita-ocr-") as folder:  # the guard expects these names
        pages, limits, messages = (Path(folder, name) for name in ("pages.tif", "limits", "messages"))
        # Copies, because an image that was saved in another format keeps settings that the TIFF writer rejects.
        first, *others = (image.copy() for image in images)
        first.save(pages, "TIFF", save_all=True, append_images=others)
        limits.write_text(f"{memory * 1024} {os.getpid()}\n", "ascii")
        code, table = _run_tesseract(guard, pages, arguments, timeout)
        # pytesseract drops the messages if the exit code is 0. Short of memory, Leptonica skips a step with
        # a message, and Tesseract may go on to an empty table and exit code 0.
        _check_exit(code, _read_messages(messages), memory)
    return _parse_table(table, len(images))


def _run_tesseract(guard: Path, pages: Path, arguments: Sequence[str], timeout: int) -> tuple[int, str]:
    """Return the exit code, negative for a signal, and the table.

    Raises:
        BadItemError: Tesseract took too long.
        StageError: The guard cannot be executed.
    """
    pytesseract = load_pytesseract(guard)
    settings = {"config": shlex.join(arguments), "output_type": pytesseract.Output.BYTES, "timeout": timeout}
    try:
        table = pytesseract.image_to_data(str(pages), **settings)
    except pytesseract.TesseractNotFoundError as error:
        hint = "pip install --force-reinstall ita-pipeline"
        raise StageError(f"cannot execute {guard}", hint) from error
    except pytesseract.TesseractError as error:
        return _signal_as_negative(error.status), ""
    except RuntimeError as error:
        # A timeout must never look like an image without text.
        raise BadItemError(f"Tesseract took longer than {timeout} s", FailureKind.RESOURCE) from error
    except FileNotFoundError:
        return 0, ""  # Tesseract ended well without a table
    return 0, table.decode(errors="replace")


def _read_messages(file: Path) -> str:
    """Return what Tesseract wrote to standard error, except the number of each page."""
    lines = file.read_text("utf-8", "replace").splitlines() if file.exists() else []
    return " ".join(" ".join(line.split()) for line in lines if not re.fullmatch(r"Page \d+", line.strip()))


def _check_exit(code: int, messages: str, memory: int) -> None:
    """Raise the error that an exit code and Tesseract's messages mean.

    Raises:
        BadItemError: The table is missing or, made without enough memory, wrong.
        KilledError: The table is missing, and a retry may help.
        ArithmeticCrashError: The table is missing, and a retry does not help.
        StageError: Tesseract is missing or cannot be started.
    """
    allowed = f"ocr.memory allows it {memory} MB"
    if any(sign in messages.lower() for sign in OUT_OF_MEMORY):
        raise BadItemError(f"Tesseract ran out of memory: {allowed}", FailureKind.RESOURCE)
    if code == -signal.SIGFPE:
        raise ArithmeticCrashError("Tesseract crashed (SIGFPE), by an error of its own")
    if code in CRASHES:
        reason = f"Tesseract crashed ({_signal_name(code)}), perhaps out of memory: {allowed}"
        raise KilledError(reason, FailureKind.RESOURCE)
    if code < 0:
        raise KilledError(f"Tesseract was ended by {_signal_name(code)}", FailureKind.TRANSIENT)
    if code in NOT_STARTED:
        raise StageError(f"Tesseract does not start: {messages[:200]}", "tesseract --version shows why")
    if code:
        # The exit code does not tell whether the image or the machine is the cause.
        raise BadItemError(f"Tesseract: {messages[:200] or f'exit code {code}'}", FailureKind.TRANSIENT)


def _parse_table(table: str, pages: int) -> list[list[Word]]:
    """Return the words of each page, with lines numbered in the order of their first words.

    Raises:
        BadItemError: A page is missing, or a row is malformed or cut off.
    """
    *rows, end = table.split("\n")
    words: list[list[Word]] = [[] for _ in range(pages)]
    lines: list[dict[tuple[int, int, int], int]] = [{} for _ in range(pages)]
    numbers: set[int] = set()
    try:
        if end or rows[0].split("\t") != COLUMNS:
            raise ValueError(table[:200])
        for row in (row.split("\t") for row in rows[1:]):
            level, page, block, paragraph, line, _, left, top, width, height = map(int, row[:10])
            confidence, text = float(row[10]), row[11].strip()
            numbers.add(page)
            if level == WORD_LEVEL and text and confidence >= 0:
                number = lines[page - 1].setdefault((block, paragraph, line), len(lines[page - 1]))
                box = (left, top, left + width, top + height)
                words[page - 1].append(Word(text=text, confidence=round(confidence / 100, 4), box=box, line=number))
        if numbers != set(range(1, pages + 1)):
            raise ValueError(numbers)
    except (ValueError, IndexError) as error:
        raise BadItemError("Tesseract's table is damaged", FailureKind.TRANSIENT) from error
    return words
