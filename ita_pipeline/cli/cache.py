"""`ita cache ls`, `verify`, `compact` and `gc`: show, check and clean up cached records."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ita_pipeline.cli.console import print_message, resumable, table
from ita_pipeline.cli.option_groups import StageSelection, build_options, expand_groups
from ita_pipeline.cli.options import AsJson, Assignments, Preset, WorkspaceFolder, Yes
from ita_pipeline.core.errors import ExitCode, UsageError
from ita_pipeline.core.text import clean_path

if TYPE_CHECKING:
    from ita_pipeline.api.cache import KeyUsage, Recomputation, Removal, SharedCache, Verification


app = typer.Typer(help="Look after the cache: ls, verify, compact, gc, export, push, pull.", no_args_is_help=True)

MAX_LINES = 20

USAGE_HEADER = ["key", "values", "failures", "segments", "MB", "last used"]

Address = Annotated[
    str | None, typer.Argument(metavar="[URL]", help="A shared cache, as s3://bucket/ita-cache; else the one here.")
]

OfShared = Annotated[bool, typer.Option("--shared", help="The shared cache that ita.yaml or ITA_SHARED sets.")]


def open_shared(url: str | None, of_shared: bool) -> SharedCache | None:
    """Open the shared cache of a command, or return None for a command about the workspace's cache."""
    from ita_pipeline.api.cache import shared_cache

    return shared_cache(url or "") if url or of_shared else None


@app.command("ls")
def list_cached_keys(
    url: Address = None,
    of_shared: OfShared = False,
    preset: Preset = "auto",
    assignments: Assignments = None,
    workspace: WorkspaceFolder = Path(),
    as_json: AsJson = False,
) -> None:
    """Show every stage key with its records, its size, when it was used last, and whether it is the current one.

    ita cache ls

    ita cache ls s3://bucket/ita-cache
    """
    from ita_pipeline.api.cache import current_keys, list_keys
    from ita_pipeline.api.errors import StageError

    usages = list_keys(open_shared(url, of_shared), workspace)
    try:
        keys = current_keys(build_options(preset=preset, assignments=assignments, workspace=workspace))
    except StageError as error:
        print_message(f"which keys are current cannot be said: {error}")
        keys = {}
    current = {key.hexdigest for key in keys.values()}
    if as_json:
        print(json.dumps({"schema": "ita.cache/1", "keys": [_to_json(usage, current) for usage in usages]}))
        return
    rows: list[list[str]] = []
    for usage in usages:
        is_current = "yes" if usage.key.hexdigest in current else "no"
        key, *numbers = _row(usage)
        rows.append([usage.key.stage, key, is_current if usage.key.stage in keys else "–", *numbers])
    key, *numbers = USAGE_HEADER
    print(table(["stage", key, "current", *numbers], rows))


def _to_json(usage: KeyUsage, current: set[str]) -> dict[str, object]:
    return {
        "stage": usage.key.stage,
        "key": usage.key.hexdigest,
        "current": usage.key.hexdigest in current,
        "components": usage.key.components,
        "values": usage.values,
        "failures": usage.failures,
        "segments": usage.segments,
        "bytes": usage.size,
        "last_used": datetime.fromtimestamp(usage.used).astimezone().isoformat(timespec="seconds"),
    }


def _row(usage: KeyUsage) -> list[str]:
    counts = (usage.values, usage.failures)
    return [
        usage.key.hexdigest[:8],
        *("–" if count is None else str(count) for count in counts),
        str(usage.segments),
        f"{usage.size / 1e6:.2f}",
        f"{datetime.fromtimestamp(usage.used):%Y-%m-%d %H:%M}",
    ]


@app.command()
@expand_groups
def verify(
    url: Address = None,
    of_shared: OfShared = False,
    recompute: Annotated[
        int | None, typer.Option(min=1, help="Also do so many pictures of each stage again, and compare.")
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="Which pictures are drawn.")] = 0,
    *,
    selection: StageSelection,
    workspace: WorkspaceFolder = Path(),
    yes: Yes = False,
    as_json: AsJson = False,
) -> None:
    """Read every record and hold it against its check sum; with --recompute, do some again and compare.

    ita cache verify

    ita cache verify --recompute 20 --preset bundled

    ita cache verify s3://bucket/ita-cache
    """
    from ita_pipeline.api import cache

    shared = open_shared(url, of_shared)
    if shared is not None and recompute:
        raise UsageError("--recompute is about the cache here", "ita cache pull first")
    checked = cache.verify(shared, workspace)
    recomputations: Sequence[Recomputation] = ()
    if recompute and not checked.damage:
        with resumable() as display:
            options = build_options(selection, workspace=workspace, yes=yes)
            recomputations = cache.recompute(recompute, options, seed, display)
    if as_json:
        print(json.dumps(cache.verification_to_json(checked, recomputations)))
    else:
        _print_verification(checked, recomputations)
    if checked.damage:
        where = f"{shared.url} " if shared is not None else ""
        print_message(f"hint: ita cache compact {where}--drop-damaged keeps every good line")
        raise typer.Exit(ExitCode.CORRUPT)
    if any(recomputation.different for recomputation in recomputations):
        raise typer.Exit(ExitCode.NOT_CLEAN)


def _print_verification(checked: Verification, recomputations: Sequence[Recomputation]) -> None:
    from ita_pipeline.api.cache import Agreement

    print(f"{checked.lines} lines in {checked.segments} segments, {len(checked.damage)} damaged")
    for damage in checked.damage[:MAX_LINES]:
        image = f", of image {damage.image}" if damage.image else ""
        what = f"line {damage.line}{image}" if damage.line else "its end is missing"
        print_message(f"damaged: {clean_path(damage.segment)}, {what}")
    if len(checked.damage) > MAX_LINES:
        print_message(f"and {len(checked.damage) - MAX_LINES} more")
    if not recomputations:
        return
    rows = [
        [one.key.stage, one.key.hexdigest[:8], *(str(one.count(kind)) for kind in Agreement), str(one.lost)]
        for one in recomputations
    ]
    print(table(["done again", "key", *(kind.value for kind in Agreement), "picture lost"], rows))
    for recomputation in recomputations:
        for path in recomputation.different[:MAX_LINES]:
            print_message(f"{recomputation.key.stage} says something else of {clean_path(path)} now")


@app.command()
def compact(
    url: Address = None,
    of_shared: OfShared = False,
    workspace: WorkspaceFolder = Path(),
    drop_damaged: bool = typer.Option(False, "--drop-damaged", help="Leave out lines that are damaged."),
) -> None:
    """Bring the small segments of each key together, without records that later ones replaced.

    ita cache compact

    ita cache compact s3://bucket/ita-cache
    """
    from ita_pipeline.api import cache

    count = 0
    for place, compacted in cache.compact(open_shared(url, of_shared), workspace, drop_damaged):
        count += 1
        dropped = f", {compacted.dropped} damaged lines left out" if compacted.dropped else ""
        print(f"{clean_path(place)}: {compacted.segments} segments, {compacted.records} records{dropped}")
    if not count:
        why = "no key has small segments to bring together, and none holds what was replaced"
        print_message(f"nothing to do: {why}")


@app.command()
def gc(
    url: Address = None,
    of_shared: OfShared = False,
    keep: Annotated[
        int | None, typer.Option(min=1, help="Keys that stay of each stage, those used last; 1 by default.")
    ] = None,
    max_size: Annotated[
        str | None, typer.Option(metavar="SIZE", help="Remove until so much is left: 500MB, 10GB, ….")
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show what would go, and remove nothing.")] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Remove without asking.")] = False,
    workspace: WorkspaceFolder = Path(),
) -> None:
    """Remove keys that were not used for long. The key of a stage that was used last always stays.

    ita cache gc --keep 2 --dry-run

    ita cache gc --max-size 10GB --yes
    """
    from ita_pipeline.api import cache

    shared = open_shared(url, of_shared)
    max_bytes = None if max_size is None else _parse_size(max_size)
    keep = 1 if keep is None and max_bytes is None else keep
    removal = cache.plan_cleanup(shared, workspace, keep, max_bytes)
    _print_removal(removal)
    if max_bytes is not None and removal.kept_bytes > max_bytes:
        stays = f"{removal.kept_bytes / 1e6:.2f} MB stay, more than {max_size}"
        print_message(f"{stays}: the key of each stage used last is kept")
    if dry_run or not (removal.removed or removal.leftovers):
        return
    if not yes and not (sys.stdin.isatty() and typer.confirm("remove them?", err=True)):
        raise UsageError("nothing was removed", "--yes removes without asking, --dry-run only shows")
    removed = cache.remove_keys(removal, shared, workspace)
    print_message(f"removed {len(removed)} keys and {len(removal.leftovers)} leftovers of crashed runs")
    for usage in removal.removed:
        if usage not in removed:
            key = f"{usage.key.stage} {usage.key.hexdigest[:8]}"
            print_message(f"left alone, because a process works under it: {key}")


def _parse_size(text: str) -> int:
    from pydantic import ByteSize, TypeAdapter, ValidationError

    try:
        return int(TypeAdapter(ByteSize).validate_python(text))
    except ValidationError as error:
        raise UsageError(f"--max-size {text} is no size", "write it as 500MB or 10GB") from error


def _print_removal(removal: Removal) -> None:
    if not removal.removed and not removal.leftovers:
        print_message("nothing to remove")
        return
    print(table(["goes", *USAGE_HEADER], [[usage.key.stage, *_row(usage)] for usage in removal.removed]))
    for path in removal.leftovers:
        print(f"leftover of a crashed run: {clean_path(path)}")
    size = f"{removal.removed_bytes / 1e6:.2f} MB go, {removal.kept_bytes / 1e6:.2f} MB"
    print_message(f"{size} in {len(removal.kept)} keys stay")
