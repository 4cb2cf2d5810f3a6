"""Terminal output: results on stdout, messages and progress on stderr, all of it free of control characters."""

from __future__ import annotations

import logging
import os
import shlex
import shutil
import signal
import sys
import textwrap
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TextIO

import typer

from ita_pipeline.core.errors import ExitCode, UsageError
from ita_pipeline.core.progress import ACTIVITY_LOGGER
from ita_pipeline.core.text import clean_line

if TYPE_CHECKING:
    from rich.progress import Progress, Task, TaskID

SECONDS_BETWEEN_LINES = 30.0

MIN_COLUMNS = 24

LABEL_COLORS = {
    "error:": "red",
    "warning:": "yellow",
    "hint:": "cyan",
    "OK": "green",
    "WARN": "yellow",
    "FAIL": "red",
}


def shows_colors(stream: TextIO) -> bool:
    """Whether a stream is a terminal that shows colors, and the user wants them."""
    return stream.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


def style(text: str, stream: TextIO, **styles: Any) -> str:
    """Add a color or weight to a text, if the stream shows colors."""
    return typer.style(text, **styles) if shows_colors(stream) else text


def print_line(line: str, stream: TextIO, hang: int = 2) -> None:
    """Print a line; on a terminal with its label in color, and with `hang` spaces before each wrapped line."""
    if stream.isatty():
        width = max(shutil.get_terminal_size().columns, MIN_COLUMNS)
        line = textwrap.fill(line, width, subsequent_indent=" " * hang, break_on_hyphens=False)
    label = line.split(maxsplit=1)[0] if line.strip() else ""
    if color := LABEL_COLORS.get(label):
        line = line.replace(label, style(label, stream, fg=color, bold=True), 1)
    print(line, file=stream, flush=True)


def print_message(line: str) -> None:
    """Print one line to stderr, without control characters, which could move the cursor or start another line."""
    indent = line[: len(line) - len(line.lstrip(" "))]
    print_line(indent + clean_line(line), sys.stderr, len(indent) + 2)


def is_quiet() -> bool:
    """Whether only results and errors are printed (`--quiet`)."""
    return bool(os.environ.get("ITA_QUIET"))


class _MessageHandler(logging.Handler):
    """Prints log records of the package as plain lines."""

    def emit(self, record: logging.LogRecord) -> None:
        print_message(record.getMessage())


class _ActivityHandler(logging.Handler):
    """Shows on a terminal what a command is doing, beside a spinner, until the next activity or its end."""

    spinner: Progress | None = None

    def emit(self, record: logging.LogRecord) -> None:
        from rich.console import Console
        from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

        text = record.getMessage()
        if self.spinner is None and not text:
            return
        if self.spinner is None:
            columns = SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn()
            console, redirects = Console(stderr=True), sys.stdout.isatty()
            self.spinner = Progress(*columns, console=console, transient=True, redirect_stdout=redirects)
            self.spinner.add_task(text, total=None)
            self.spinner.start()
        self.spinner.update(self.spinner.task_ids[0], description=text)
        if not text:
            self.spinner.stop()
            self.spinner = None


@contextmanager
def printed_messages() -> Iterator[None]:
    """Print what the package logs to stderr: everything, or with `--quiet` only warnings.

    A terminal also shows the current activity.
    """
    logger, handler = logging.getLogger("ita_pipeline"), _MessageHandler()
    activities, spinner = logging.getLogger(ACTIVITY_LOGGER), _ActivityHandler()
    level = logger.level
    logger.setLevel(logging.WARNING if is_quiet() else logging.INFO)
    logger.addHandler(handler)
    activities.propagate = False
    if shows_colors(sys.stderr) and not is_quiet():
        activities.setLevel(logging.DEBUG)
        activities.addHandler(spinner)
    try:
        yield
    finally:
        activities.removeHandler(spinner)
        logger.removeHandler(handler)
        logger.setLevel(level)


def silence_messages() -> None:
    """Print nothing more of what the package logs."""
    logging.getLogger("ita_pipeline").setLevel(logging.CRITICAL)


def confirm(question: str) -> bool:
    """Ask a question, and return whether the answer is yes; without a terminal it is no."""
    return sys.stdin.isatty() and sys.stderr.isatty() and typer.confirm(clean_line(question), err=True)


def confirm_removal(question: str, agreed: bool) -> None:
    """Ask before something is removed.

    Raises:
        UsageError: the user has not agreed, and does not answer yes.
    """
    if not (agreed or confirm(question)):
        raise UsageError("nothing was removed", "--yes removes without asking, --dry-run only shows")


def print_note(line: str) -> None:
    """Print a message unless `--quiet` is set."""
    if not is_quiet():
        print_message(line)


def print_first(lines: Sequence[str], limit: int, indent: str = "") -> None:
    """Print the first lines as messages, and how many more there are."""
    for line in lines[:limit]:
        print_message(line)
    if len(lines) > limit:
        print_message(f"{indent}and {len(lines) - limit} more")


@contextmanager
def resumable(
    message: str = "interrupted; all finished batches are kept",
    hint: str = "resume with",
    code: ExitCode = ExitCode.INTERRUPTED,
) -> Iterator[ProgressDisplay]:
    """Show progress, and end the command on Ctrl-C and SIGTERM with a message and the command that resumes it.

    While stages run, the first signal lets the current batch finish, and the second one stops at once.
    """
    display = ProgressDisplay()

    def stop(*_: object) -> None:
        if display.bars is None or display.stop_requested:
            raise KeyboardInterrupt
        display.stop_requested = True
        # `print` is not reentrant, and this signal may interrupt one.
        os.write(2, b"finishing the current batch; press Ctrl-C again to stop immediately\n")

    before = {number: signal.signal(number, stop) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield display
    except KeyboardInterrupt:
        print_message(message)
        print_message(f"hint: {hint}: ita {shlex.join(sys.argv[1:])}")
        raise typer.Exit(code) from None
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Format a table, with the first column aligned left and the others right.

    In a terminal that is too narrow, each row becomes lines of a name and a value.
    """
    header, rows = [clean_line(c) for c in header], [[clean_line(c) for c in row] for row in rows]
    widths = [max(len(row[column]) for row in [header, *rows]) for column in range(len(header))]
    if sys.stdout.isatty() and sum(widths) + 2 * (len(widths) - 1) > shutil.get_terminal_size().columns:
        return "\n".join(_format_stacked(header, row) for row in rows)

    def line(row: Sequence[str]) -> str:
        cells = [row[0].ljust(widths[0]), *(c.rjust(w) for c, w in zip(row[1:], widths[1:], strict=True))]
        return "  ".join(cells).rstrip()

    return "\n".join(line(row) for row in [header, *rows])


def columns(rows: Sequence[tuple[str, ...]]) -> str:
    """Format columns that are all aligned left."""
    cells = [[clean_line(cell) for cell in row] for row in rows]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    return "\n".join("  ".join(c.ljust(w) for c, w in zip(row, widths, strict=True)).rstrip() for row in cells)


def _format_stacked(header: Sequence[str], row: Sequence[str]) -> str:
    width = max(map(len, header))
    return "\n".join([row[0], *(f"  {n.ljust(width)}  {c}" for n, c in zip(header[1:], row[1:], strict=True))])


class ProgressDisplay:
    """Progress of a run: in a terminal one bar per stage, otherwise from time to time one line per stage."""

    def __init__(self, seconds_between_lines: float = SECONDS_BETWEEN_LINES) -> None:
        self.seconds_between_lines = seconds_between_lines
        self.stop_requested = False
        self.bars: Progress | None = None
        self.tasks: dict[str, TaskID] = {}
        self.last_report = self.start_time = 0.0

    def start(self, stage: str, total: int) -> None:
        """Show a stage with this number of items."""
        if self.bars is None:
            self.start_time = self.last_report = time.monotonic()
            self.bars = _create_bars(visible=sys.stderr.isatty() and not is_quiet())
            self.bars.start()
        self.tasks[stage] = self.bars.add_task(stage, total=total)

    def advance(self, stage: str, done: int) -> None:
        """Count more finished items of a stage."""
        if self.bars is None:
            return
        self.bars.advance(self.tasks[stage], done)
        if self.bars.disable and time.monotonic() - self.last_report >= self.seconds_between_lines:
            self.last_report = time.monotonic()
            for task in self.bars.tasks:
                if task.remaining:
                    print_note(_describe(task, self.last_report - self.start_time))

    def finish(self) -> None:
        """Remove all stages."""
        if self.bars is not None:
            self.bars.stop()
            self.bars = None


def _describe(task: Task, seconds: float) -> str:
    rate = task.completed / seconds
    left = f"{(task.remaining or 0) / rate:.0f} s left" if rate else "nothing done yet"
    return f"{task.description}: {task.completed:.0f} of {task.total:.0f}, {rate:.1f}/s, {left}"


def _create_bars(visible: bool) -> Progress:
    from rich import progress
    from rich.console import Console
    from rich.text import Text

    class Rate(progress.ProgressColumn):
        def render(self, task: Task) -> Text:
            seconds = task.finished_time or task.elapsed
            rate = f"{task.completed / seconds:.1f}" if seconds and task.completed else "–"
            return Text(f"{rate}/s", style="progress.data.speed")

    return progress.Progress(
        progress.TextColumn("{task.description:>9}"),
        progress.BarColumn(),
        progress.MofNCompleteColumn(),
        Rate(),
        progress.TimeRemainingColumn(),
        console=Console(stderr=True),
        disable=not visible,
    )
