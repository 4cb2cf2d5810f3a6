"""Write `docs/commands.md` and `docs/python.md` from the code, or with `--check`, test that they are up to date."""

from __future__ import annotations

import dataclasses
import inspect
import json
import re
import sys
from collections.abc import Iterator
from enum import Enum
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

DOCS = Path(__file__).parent.parent / "docs"
COMMAND_LINE = "python scripts/reference.py"
MADE = f"<!-- Written by {COMMAND_LINE}. Do not edit: changes to this file are overwritten. -->\n"

ABOUT_COMMANDS = """\
# Commands

`ita COMMAND --help` shows the same text in a terminal. `--quiet` and `--debug` may appear anywhere. Options can
also be set in `ita.yaml` and in environment variables; see [Configuration](configuration.md), and for exit codes.
"""
ABOUT_PYTHON = """\
# Python

```python
EXAMPLE
```

Each command calls the function of the same name. Errors that you can fix are `ita_pipeline.errors.UserError`, with
a `hint`. A missing tool or model raises `stages.base.StageError`.
"""
WORDS = {int: "NUMBER", float: "NUMBER", Path: "PATH"}
Command = Any  # Typer 0.29 has no public name for it.


def commands_page() -> str:
    from typer.main import get_command

    from ita_pipeline.cli import app

    lines = [MADE, ABOUT_COMMANDS]
    every = list(leaves(get_command(app), "ita"))
    lines += ["| | |", "|---|---|"]
    lines += [f"| [`{path}`](#{path.replace(' ', '-')}) | {cell(paragraphs(one.help)[0])} |" for path, one in every]
    for path, one in every:
        lines += ["", *section(path, one)]
    return "\n".join(lines) + "\n"


def leaves(command: Command, path: str) -> Iterator[tuple[str, Command]]:
    """The commands below a group, or the command itself."""
    below = getattr(command, "commands", None)
    if below is None:
        yield path, command
        return
    for name, one in below.items():
        if not one.hidden:
            yield from leaves(one, f"{path} {name}")


def section(path: str, command: Command) -> Iterator[str]:
    arguments = [p for p in command.params if p.param_type_name == "argument"]
    options = [p for p in command.params if p.param_type_name == "option" and p.name != "help"]
    told = paragraphs(command.help)
    words = [part for part in told if not is_example(part)]
    yield from [f"## {path}", "", "\n\n".join(words), ""]
    examples = [f"$ {part}" for part in told if is_example(part)]
    yield from ["```sh-session", *examples, "```"] if examples else []
    rows = [row(f"`{metavar(one)}`", one, "" if one.required else "optional") for one in arguments]
    rows += [row(f"`{'`, `'.join(names(one))}`{value(one)}", one, default(one)) for one in options]
    if rows:
        yield from ["", "| | | |", "|---|---|---|", *rows]


def row(name: str, parameter: Any, more: str) -> str:
    return f"| {name} | {cell(parameter.help or '')} | {more} |".replace("  |", " |")


def paragraphs(text: str | None) -> list[str]:
    parts = re.split(r"\n\s*\n", inspect.cleandoc(text or ""))
    return [" ".join(part.split()) for part in parts]


def is_example(part: str) -> bool:
    return re.match(r"(cat .* \| )?ita [a-z]", part) is not None and not part.endswith(".")


def metavar(argument: Any) -> str:
    return cell((argument.metavar or argument.name.upper()).strip("[]"))


def names(option: Any) -> list[str]:
    return [*option.opts, *option.secondary_opts]


def value(option: Any) -> str:
    if option.is_flag:
        return ""
    annotation = option.type_descriptor.annotation
    known = [kind for kind in (annotation, *get_args(annotation)) if kind in WORDS or is_choice(kind)]
    kind = known[0] if known else str
    if is_choice(kind) and not option.metavar:
        choices = cell("|".join(get_args(kind)))
        return f" `{choices}`"
    return f" `{option.metavar or WORDS.get(kind, 'TEXT')}`"


def is_choice(kind: Any) -> bool:
    return get_origin(kind) is Literal


def default(option: Any) -> str:
    said = [f"`{option.envvar}`"] if option.envvar else []
    given = getattr(option.default, "value", option.default)
    if option.required:
        said.append("required")
    elif not option.is_flag and given not in (None, "", ()) and not callable(given):
        said.append(f"default `{given}`")
    elif option.is_flag and option.secondary_opts:
        said.append(f"default `{option.opts[0] if given else option.secondary_opts[0]}`")
    return ", ".join(said)


def cell(text: str) -> str:
    return text.replace("|", "\\|")


def python_page() -> str:
    import ita_pipeline as ita
    from ita_pipeline.runs.explanation import Explanation, SwitchOff
    from ita_pipeline.runs.predictions import Mention, Prediction
    from ita_pipeline.runs.predictor import Predictor

    code = "\n".join(example(ita))
    lines = [MADE, ABOUT_PYTHON.replace("EXAMPLE", code), "## Functions"]
    found = [getattr(ita, name) for name in ita.__all__]
    for one in found:
        if inspect.isfunction(one):
            lines += ["", f"### {one.__name__}", "", *described(one, signature(one.__name__, one))]
    lines += ["", "## Classes"]
    for one in (
        *(one for one in found if inspect.isclass(one)),
        Predictor,
        Prediction,
        Mention,
        Explanation,
        SwitchOff,
    ):
        lines += ["", f"### {one.__name__}", "", *described(one, fields(one))]
        methods = [(name, each) for name, each in vars(one).items() if shown(name, each)]
        for name, each in methods:
            function = getattr(each, "__func__", each)
            lines += ["", f"#### {one.__name__}.{name}", "", *described(function, signature(name, function))]
    return "\n".join(lines) + "\n"


def example(package: Any) -> list[str]:
    """The indented lines of a package's docstring, from the first to the last."""
    lines = inspect.cleandoc(package.__doc__ or "").splitlines()
    code = [number for number, line in enumerate(lines) if line.startswith("    ")]
    return [line.removeprefix("    ") for line in lines[code[0] : code[-1] + 1]]


def shown(name: str, member: Any) -> bool:
    function = getattr(member, "__func__", member)
    return not name.startswith("_") and inspect.isfunction(function) and bool(function.__doc__)


def described(thing: Any, code: str) -> Iterator[str]:
    yield from ["```python", code, "```", ""]
    text = inspect.cleandoc(thing.__doc__ or "")
    yield re.sub(r"^Raises:\n((?:    .*\n?)+)", raises, text, flags=re.MULTILINE).rstrip()


def raises(found: re.Match[str]) -> str:
    """The errors of a docstring, one a line and continued lines joined, as a list."""
    joined = re.sub(r"\n {8,}", " ", found[1].rstrip())
    items = [re.sub(r"^(\w+):", r"`\1`:", line.strip()) for line in joined.splitlines()]
    return "Raises:\n\n" + "\n".join(f"- {item}" for item in items)


def signature(name: str, function: Any) -> str:
    found = inspect.signature(function)
    parts = [written(one) for one in found.parameters.values() if one.name not in ("self", "cls")]
    first_by_name = next((n for n, one in enumerate(found.parameters.values()) if one.kind is one.KEYWORD_ONLY), 0)
    if first_by_name:
        parts.insert(first_by_name - (len(found.parameters) - len(parts)), "*")
    gives = f" -> {found.return_annotation}"
    line = f"{name}({', '.join(parts)}){gives}"
    return line if len(line) <= 100 else f"{name}(\n    " + ",\n    ".join(parts) + f",\n){gives}"


def written(one: inspect.Parameter) -> str:
    return f"{one.name}: {one.annotation}" + ("" if one.default is one.empty else f" = {literal(one.default)}")


def literal(value: Any) -> str:
    """Return the source of a value as Ruff formats it, since Ruff formats the pages, too."""
    if isinstance(value, Enum):
        return f"{type(value).__name__}.{value.name}"
    if isinstance(value, Path):
        return f"Path({literal(str(value))})"
    return json.dumps(value) if isinstance(value, str) else repr(value)


def fields(one: type) -> str:
    if not dataclasses.is_dataclass(one):
        return f"class {one.__name__}"
    lines = [f"@dataclass(frozen=True)\nclass {one.__name__}:"]
    for field in dataclasses.fields(one):
        given = field.default if field.default_factory is dataclasses.MISSING else field.default_factory()
        lines.append(
            f"    {field.name}: {field.type}" + ("" if given is dataclasses.MISSING else f" = {literal(given)}")
        )
    return "\n".join(lines)


PAGES = {"commands.md": commands_page, "python.md": python_page}


def main(arguments: list[str]) -> int:
    stale = []
    for name, make in PAGES.items():
        page, text = DOCS / name, make()
        if page.is_file() and page.read_text("utf-8") == text:
            continue
        stale.append(name)
        if "--check" not in arguments:
            page.write_text(text, "utf-8")
    if "--check" in arguments and stale:
        print(f"error: docs/{' and docs/'.join(stale)} are not up to date\nhint: {COMMAND_LINE}", file=sys.stderr)
        return 1
    print(f"wrote {', '.join(stale)}" if stale else "the reference is up to date")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
