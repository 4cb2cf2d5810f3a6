"""Check that no stage's code moved while its `version` stayed; `stages/versions.lock` holds what was agreed last.

A stage's author raises `version` whenever the same settings give other values. Its code is what the syntax trees
say of its module and of every module of its package that this one imports, directly or not. Comments, docstrings,
layout and `version` itself are no code.
"""

from __future__ import annotations

import argparse
import ast
import hashlib
import importlib.util
import json
import sys
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

LOCK = "stages/versions.lock"
ACKNOWLEDGE = "python scripts/stage_versions.py --acknowledge"
MOVED = f"raise `version` of every stage whose results change; then, or if none do: {ACKNOWLEDGE}"
UNKNOWN = f"write it down: {ACKNOWLEDGE}"
LOWERED = f"raise it above the locked one; or, if this branch only undid its own raise, undo it in {LOCK} too"


class CheckError(Exception):
    """The check cannot be made: a file is missing or says something else than it should."""


@dataclass(frozen=True, slots=True)
class Locked:
    """The version of a stage, and a digest of the code in each of its files."""

    version: int
    files: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Complaint:
    text: str
    hint: str


def stages_of(root: Path) -> dict[str, Locked]:
    """Every stage that pyproject.toml names, as its code is now."""
    try:
        project = tomllib.loads((root / "pyproject.toml").read_text("utf-8"))["project"]
        entries: dict[str, str] = project["entry-points"]["ita.stages"]
    except (OSError, KeyError, ValueError) as error:
        raise CheckError(f"pyproject.toml names no stages: {error!r}") from error
    return {name: look_at(root, entry, set(entries.values())) for name, entry in entries.items()}


def look_at(root: Path, entry: str, stages: set[str]) -> Locked:
    """The stage at an entry point, `module:class`; `stages` are those of all stages."""
    module = defining_module(root, *entry.split(":"))
    defined = f"{module}:{entry.partition(':')[2]}"
    stages = {f"{defining_module(root, *one.split(':'))}:{one.partition(':')[2]}" for one in stages}
    versions: dict[str, int] = {}
    digests: dict[str, str] = {}
    waiting = [module]
    while waiting:
        name = waiting.pop()
        file = file_of(root, name)
        if file is None or file in digests:
            continue
        tree = parse(root, file)
        if is_export_list(file, tree):
            continue
        waiting += imports(root, tree, name if file.endswith("/__init__.py") else name.rpartition(".")[0])
        versions |= take_versions(tree, name, stages)
        digests[file] = hashlib.sha256(canonical(tree).encode()).hexdigest()[:16]
    if defined not in versions:
        raise CheckError(f"there is no class {entry} that says `version = <number>`")
    return Locked(versions[defined], dict(sorted(digests.items())))


def file_of(root: Path, module: str) -> str | None:
    """Where a module of this checkout is; None for any other."""
    path = module.replace(".", "/")
    return next((file for file in (f"{path}.py", f"{path}/__init__.py") if (root / file).is_file()), None)


def parse(root: Path, file: str) -> ast.Module:
    try:
        return ast.parse((root / file).read_bytes())
    except (SyntaxError, ValueError) as error:
        raise CheckError(f"{file} is not Python: {error}") from error


def is_export_list(file: str, tree: ast.Module) -> bool:
    """Whether a package's `__init__` only re-exports names, so that it is not part of any stage's code."""
    exports = [node for node in tree.body if isinstance(node, ast.ImportFrom) and not is_silent(node)]
    others = [node for node in tree.body if not (node in exports or is_silent(node) or is_dunder_all(node))]
    return file.endswith("/__init__.py") and bool(exports) and not others


def is_dunder_all(node: ast.stmt) -> bool:
    match node:
        case ast.Assign(targets=[ast.Name("__all__")]):
            return True
    return False


def defining_module(root: Path, module: str, name: str) -> str:
    """The module that defines a name which `module` may only re-export."""
    file = file_of(root, module)
    if file is None or not is_export_list(file, tree := parse(root, file)):
        return module
    sources = [
        node.module
        for node in tree.body
        if isinstance(node, ast.ImportFrom) and node.module and any(alias.name == name for alias in node.names)
    ]
    return defining_module(root, sources[0], name) if sources else module


def imports(root: Path, tree: ast.Module, package: str) -> Iterator[str]:
    """Names from the module's own package that could be modules, and the packages that they are in."""
    names: list[str] = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            source = "." * node.level + (node.module or "")
            source = importlib.util.resolve_name(source, package) if node.level else source
            for alias in node.names:
                names += [f"{source}.{alias.name}", defining_module(root, source, alias.name)]
    for parts in (name.split(".") for name in names):
        if parts[0] == package.partition(".")[0]:
            yield from (".".join(parts[:length]) for length in range(1, len(parts) + 1))


def take_versions(tree: ast.Module, module: str, stages: set[str]) -> dict[str, int]:
    """Remove `version = <number>` from the classes that are stages, and return the numbers."""
    versions: dict[str, int] = {}
    for node in tree.body:
        if isinstance(node, ast.ClassDef) and (entry := f"{module}:{node.name}") in stages:
            stated = [statement for statement in node.body if number_in(statement) is not None]
            node.body = [statement for statement in node.body if statement not in stated]
            if stated and (number := number_in(stated[-1])) is not None:
                versions[entry] = number
    return versions


def number_in(statement: ast.stmt) -> int | None:
    match statement:
        case ast.Assign(targets=[ast.Name("version")], value=ast.Constant(int(number))):
            return number
        case ast.AnnAssign(target=ast.Name("version"), value=ast.Constant(int(number))):
            return number
    return None


def canonical(node: Any) -> str:
    """A syntax tree as text that is the same for every Python that can read the file.

    `ast.dump` lists the fields of the Python that runs it, and from 3.13 on leaves the empty ones out;
    `ast.unparse` changed its quotes and brackets. Fields by name and none that is empty outlast both, because
    what a new Python adds to a node is empty in code that an old one can read. `ascii` and not `repr`, which
    asks the Unicode tables what is printable.
    """
    if isinstance(node, list):
        return f"[{', '.join(canonical(item) for item in node if not is_silent(item))}]"
    if not isinstance(node, ast.AST):
        return ascii(node)
    if isinstance(node, ast.JoinedStr):  # Python 3.12 puts empty texts between the parts of an f-string.
        node.values = [part for part in node.values if not (isinstance(part, ast.Constant) and part.value == "")]
    said = {name: canonical(value) for name, value in sorted(ast.iter_fields(node)) if name != "kind"}
    shown = (f"{name}={text}" for name, text in said.items() if text not in ("[]", "None"))
    return f"{type(node).__name__}({', '.join(shown)})"


def is_silent(node: Any) -> bool:
    """Whether a statement does nothing: a docstring, `pass`, an import from `__future__`."""
    match node:
        case ast.Expr(ast.Constant(str())) | ast.Pass() | ast.ImportFrom("__future__"):
            return True
    return False


def read_lock(path: Path) -> dict[str, Locked]:
    if not path.exists():
        return {}
    try:
        return {name: Locked(**entry) for name, entry in json.loads(path.read_text("utf-8")).items()}
    except (ValueError, TypeError, AttributeError) as error:
        raise CheckError(f"{LOCK} is damaged, by a merge perhaps: {error}") from error


def compare(before: Mapping[str, Locked], now: Mapping[str, Locked]) -> Iterator[Complaint]:
    for stage in sorted({*before, *now}):
        if stage not in before:
            yield Complaint(f"{stage}: {LOCK} does not have this stage yet", UNKNOWN)
        elif stage not in now:
            yield Complaint(f"{stage}: pyproject.toml no longer has this stage, but {LOCK} does", UNKNOWN)
        else:
            yield from compare_stage(stage, before[stage], now[stage])


def compare_stage(stage: str, before: Locked, now: Locked) -> Iterator[Complaint]:
    step = f"from {before.version} to {now.version}"
    moved = sorted(dict(before.files.items() ^ now.files.items()))
    if now.version < before.version:
        text = f"{stage}: version went down {step}, and caches may hold results of another code under that number"
        yield Complaint(text, LOWERED)
    elif now.version > before.version:
        yield Complaint(f"{stage}: version was raised {step}, and {LOCK} does not say so yet", UNKNOWN)
    elif moved:
        yield Complaint(f"{stage}: {', '.join(moved)} changed, and version is still {now.version}", MOVED)


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="Check that no stage's code moved while its version stayed.")
    parser.add_argument("--acknowledge", action="store_true", help=f"write the stages as they are to {LOCK}")
    parser.add_argument("--root", type=Path, default=Path(__file__).parents[1], help="the checkout to look at")
    options = parser.parse_args(arguments)
    lock = options.root / LOCK
    try:
        now = stages_of(options.root)
        complaints = list(compare(read_lock(lock), now))
    except CheckError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    hints = dict.fromkeys(complaint.hint for complaint in complaints)
    if options.acknowledge and LOWERED not in hints:
        lock.write_text(json.dumps({name: asdict(now[name]) for name in sorted(now)}, indent=2) + "\n", "utf-8")
        print("\n".join(f"acknowledged: {complaint.text}" for complaint in complaints) or "nothing was to be done")
        return 0
    if not complaints:
        print(f"{len(now)} stages, each as {LOCK} has it")
        return 0
    said = [f"error: {complaint.text}" for complaint in complaints] + [f"hint: {hint}" for hint in hints]
    print("\n".join(said), file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(main())
