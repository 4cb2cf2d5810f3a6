"""Help of commands: a summary, examples, and the options in sections, at the width of the terminal."""

from __future__ import annotations

import inspect
import re
import shutil
import sys
import textwrap
from collections.abc import Iterable, Iterator
from typing import Any

import typer
from typer.core import TyperCommand, TyperGroup

from ita_pipeline.cli.console import MIN_COLUMNS, style

MAX_COLUMNS = 100

# The widest name of an option that has its description beside it, in a wide terminal and in a narrow one.
NAME_COLUMNS, NARROW_NAME_COLUMNS = 22, 4

# The section of each option; an option of several commands is always in the same one.
SECTIONS = {
    "Input": "dataset data text image jsonl source text_column image_column split post like tag_names kind",
    "Models": "preset encoder captions contexts experiment assignments preset_flag encoder_flag runtime onnx",
    "What to run": "stages stage alignment objectives seed seeds views train_sizes samples limit shard retry_failed"
    " refresh max_requests max_tokens key listed remove recompute drop_damaged keep max_size"
    " min_confidence ignore checkpoint_every explain consent yes dry_run",
    "Where": "workspace shared of_shared engine actors num_gpus address host port to parts push public",
    "Output": "html as_json form pictures show report_to exit_code every origin",
}

GLOBAL_OPTIONS = "Global options: --quiet, --debug, --help (see `ita --help`)"


def install() -> None:
    """Print the help of all commands and groups in this form."""

    def write_help(command: Any, context: Any, formatter: Any) -> None:
        formatter.write(format_help(command, context.command_path))

    TyperCommand.format_help = TyperGroup.format_help = write_help  # pyright: ignore[reportAttributeAccessIssue]


def format_help(command: Any, path: str) -> str:
    """Format the help of a command or group that is typed as `path`."""
    width = max(MIN_COLUMNS, min(shutil.get_terminal_size().columns, MAX_COLUMNS))
    summary, *paragraphs = split_paragraphs(command.help)
    lines = [*_wrap(summary, width), ""]
    examples = [paragraph for paragraph in paragraphs if is_example(paragraph)]
    if examples:
        lines += [
            _heading("Examples:"),
            *(line for example in examples for line in _wrap_example(example, width)),
            "",
        ]
    for paragraph in paragraphs:
        if paragraph not in examples:
            lines += [*_wrap(paragraph, width), ""]
    usage = _wrap(f"Usage: {path} {_format_usage(command)}", width, "  ")
    lines += [usage[0].replace("Usage:", _heading("Usage:")), *usage[1:]]
    sections = list(_sections(command))
    widest = NAME_COLUMNS if width >= 60 else NARROW_NAME_COLUMNS
    column = min(widest, max((len(name) for _, rows in sections for name, _ in rows), default=0))
    for title, rows in sections:
        lines += ["", _heading(f"{title}:"), *_format_rows(rows, column, width)]
    return "\n".join([*lines, "", *_wrap(command.epilog or GLOBAL_OPTIONS, width)]) + "\n"


def split_paragraphs(text: str | None) -> list[str]:
    """Split a help text into paragraphs, each on one line."""
    return [" ".join(part.split()) for part in re.split(r"\n\s*\n", inspect.cleandoc(text or ""))]


def is_example(paragraph: str) -> bool:
    """Whether a paragraph of a help text is an example, and not a sentence."""
    return re.match(r"(cat .* \| )?(ita|curl) [a-z-]", paragraph) is not None and not paragraph.endswith(".")


def option_label(option: Any) -> str:
    """Format the names of an option and the form of its value, such as `--limit N`."""
    name = f"--[no-]{option.opts[0][2:]}" if option.secondary_opts else ", ".join(option.opts)
    return name if option.is_flag else f"{name} {value_form(option)}"


def value_form(option: Any) -> str:
    """Return the form of an option's value: its metavar, or else the values that it accepts."""
    return option.metavar or option.display_type_rich(ctx=typer.Context(TyperCommand("ita"))).strip("<>")


def _format_usage(command: Any) -> str:
    if hasattr(command, "commands"):
        return "COMMAND"
    arguments = [p for p in command.params if p.param_type_name == "argument"]
    required = [option_label(p) for p in command.params if p.param_type_name == "option" and p.required]
    names = [_argument_name(p) if p.required else f"[{_argument_name(p)}]" for p in arguments]
    return " ".join([*names, *required, "[OPTIONS]"])


def _argument_name(argument: Any) -> str:
    return (argument.metavar or argument.name.upper()).strip("[]")


def _sections(command: Any) -> Iterator[tuple[str, list[tuple[str, str]]]]:
    """Yield the titles and rows of the sections that are not empty."""
    if hasattr(command, "commands"):
        visible = {name: one for name, one in command.commands.items() if not one.hidden}
        yield (
            "Commands",
            [(name, split_paragraphs(one.help)[0].partition(". ")[0].rstrip(".")) for name, one in visible.items()],
        )
    options = [p for p in command.params if p.param_type_name == "option" and p.name != "help"]
    arguments = [p for p in command.params if p.param_type_name == "argument"]
    rows = [(_argument_name(argument), argument.help or "") for argument in arguments]
    for title, names in SECTIONS.items():
        rows += [(option_label(p), _describe(p)) for p in options if p.name in names.split()]
        if rows:
            yield title, rows
        rows = []
    placed = " ".join(SECTIONS.values()).split()
    rest = [(option_label(p), _describe(p)) for p in options if p.name not in placed]
    if rest:
        yield "Options", rest


def _describe(option: Any) -> str:
    """Return the description of an option, with its default and environment variable."""
    given, text = option.default, option.help or ""
    if option.required:
        text += " (required)"
    elif option.show_default and not option.is_flag and given not in (None, "", ()) and not callable(given):
        text += f" (default: {given})"
    return f"{text} [env:{option.envvar}]" if option.envvar else text


def _format_rows(rows: Iterable[tuple[str, str]], limit: int, width: int) -> Iterator[str]:
    """Yield the lines of two columns; a name that is too wide stands above its description."""
    for name, text in rows:
        described = textwrap.wrap(text, width - limit - 4, break_on_hyphens=False)
        if len(name) <= limit:
            yield f"  {name:<{limit}}  {described.pop(0) if described else ''}".rstrip()
        else:
            yield from _wrap(f"  {name}", width, "    ")
        yield from (f"{'':{limit + 4}}{line}" for line in described)


def _wrap(text: str, width: int, indent: str = "") -> list[str]:
    return textwrap.wrap(text, width, subsequent_indent=indent, break_on_hyphens=False)


def _wrap_example(example: str, width: int) -> Iterator[str]:
    """Yield the lines of an example, which continue after a backslash, so that they can be copied."""
    line = " "
    for word in re.findall(r"""(?:[^\s"']|"[^"]*"|'[^']*')+""", example):
        if len(line) + len(word) + 3 > width and line.strip():
            yield f"{line} \\"
            line = "   "
        line += f" {word}"
    yield line


def _heading(text: str) -> str:
    return style(text, sys.stdout, bold=True)
