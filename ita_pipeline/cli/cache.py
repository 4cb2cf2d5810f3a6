"""`ita cache`: show, check and clean up cached records, and carry them to other machines and programs."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Sequence
from datetime import datetime
from pathlib import Path
from typing import Annotated, Literal

import typer

from ita_pipeline import api
from ita_pipeline.cli import options as opts
from ita_pipeline.cli.console import print_first, print_message, resumable, table
from ita_pipeline.core.errors import ExitCode, UsageError
from ita_pipeline.core.text import clean_path

app = typer.Typer(help="List, check, clean up and share cached records.", no_args_is_help=True)

MAX_LINES = 20

USAGE_HEADER = ["values", "failures", "segments", "MB", "last used"]

Address = Annotated[
    str | None,
    typer.Argument(metavar="[URL]", help="Shared cache, such as s3://bucket/ita-cache; default: this workspace"),
]

OfShared = Annotated[bool, typer.Option("--shared", help="Use the shared cache of ita.yaml or ITA_SHARED")]

Stages = Annotated[list[str] | None, typer.Option("--stage", metavar="NAME", help="Only this stage; repeatable")]

Target = Annotated[
    str | None,
    typer.Argument(
        metavar="[URL]", help="Shared cache, such as s3://bucket/ita-cache; default: the configured one"
    ),
]


def open_shared(url: str | None, of_shared: bool) -> api.cache.SharedCache | None:
    """Open the shared cache of a command, or return None for a command about the workspace's cache."""
    return api.cache.shared_cache(url or "") if url or of_shared else None


@app.command("ls")
def list_cached_keys(
    url: Address = None,
    of_shared: OfShared = False,
    preset: opts.Preset = "auto",
    assignments: opts.Assignments = None,
    workspace: opts.WorkspaceFolder = Path(),
    as_json: opts.AsJson = False,
) -> None:
    """List the stage keys with their records, size and last use, and which are current.

    ita cache ls

    ita cache ls s3://bucket/ita-cache
    """
    usages = api.cache.list_keys(open_shared(url, of_shared), workspace)
    try:
        options = opts.build_options(preset=preset, assignments=assignments, workspace=workspace)
        keys = api.cache.current_keys(options)
    except api.StageError as error:
        print_message(f"which keys are current cannot be said: {error}")
        keys = {}
    current = {key.hexdigest for key in keys.values()}
    if as_json:
        keys_json = [api.cache.usage_to_json(usage, current) for usage in usages]
        print(json.dumps({"schema": "ita.cache/1", "keys": keys_json}))
        return
    rows: list[list[str]] = []
    for usage in usages:
        is_current = "yes" if usage.key.hexdigest in current else "no"
        rows.append(_row(usage, is_current if usage.key.stage in keys else "–"))
    print(table(["stage", "key", "current", *USAGE_HEADER], rows))


def _row(usage: api.cache.KeyUsage, *more: str) -> list[str]:
    """Format a key for a table, with more cells behind its name."""
    counts = ["–" if count is None else str(count) for count in (usage.values, usage.failures)]
    used = f"{datetime.fromtimestamp(usage.used):%Y-%m-%d %H:%M}"
    key = usage.key
    return [key.stage, key.hexdigest[:8], *more, *counts, str(usage.segments), f"{usage.size / 1e6:.2f}", used]


@app.command()
@opts.expand_groups
def verify(
    url: Address = None,
    of_shared: OfShared = False,
    recompute: Annotated[
        int | None, typer.Option(min=1, metavar="N", help="Also recompute N pictures of each stage, and compare")
    ] = None,
    seed: Annotated[int, typer.Option(min=0, metavar="N", help="Random seed for choosing the pictures")] = 0,
    *,
    selection: opts.StageSelection,
    workspace: opts.WorkspaceFolder = Path(),
    yes: opts.Yes = False,
    as_json: opts.AsJson = False,
) -> None:
    """Compare every record with its checksum, or with --recompute also with a new result.

    ita cache verify

    ita cache verify --recompute 20 --preset bundled

    ita cache verify s3://bucket/ita-cache
    """
    shared = open_shared(url, of_shared)
    if shared is not None and recompute:
        raise UsageError("--recompute is about the cache here", "ita cache pull first")
    checked = api.cache.verify(shared, workspace)
    recomputations: Sequence[api.cache.Recomputation] = ()
    if recompute and not checked.damage:
        with resumable() as display:
            options = opts.build_options(selection, workspace=workspace, consent=yes)
            recomputations = api.cache.recompute(recompute, options, seed, display)
    if as_json:
        print(json.dumps(api.cache.verification_to_json(checked, recomputations)))
    else:
        _print_verification(checked, recomputations)
    if checked.damage:
        where = f"{shared.url} " if shared is not None else ""
        print_message(f"hint: ita cache compact {where}--drop-damaged keeps every good line")
        raise typer.Exit(ExitCode.CORRUPT)
    if any(recomputation.different for recomputation in recomputations):
        raise typer.Exit(ExitCode.NOT_CLEAN)


def _print_verification(checked: api.cache.Verification, recomputations: Sequence[api.cache.Recomputation]) -> None:
    print(f"{checked.lines} lines in {checked.segments} segments, {len(checked.damage)} damaged")
    damage = [f"damaged: {clean_path(one.segment)}, {_format_place(one)}" for one in checked.damage]
    print_first(damage, MAX_LINES)
    if not recomputations:
        return
    kinds = list(api.cache.Agreement)
    rows: list[list[str]] = []
    for one in recomputations:
        counts = [str(one.count(kind)) for kind in kinds]
        rows.append([one.key.stage, one.key.hexdigest[:8], *counts, str(one.lost)])
    print(table(["done again", "key", *kinds, "picture lost"], rows))
    for recomputation in recomputations:
        for path in recomputation.different[:MAX_LINES]:
            print_message(f"{recomputation.key.stage} says something else of {clean_path(path)} now")


def _format_place(damage: api.cache.Damage) -> str:
    image = f", of image {damage.image}" if damage.image else ""
    return f"line {damage.line}{image}" if damage.line else "its end is missing"


@app.command()
def compact(
    url: Address = None,
    of_shared: OfShared = False,
    workspace: opts.WorkspaceFolder = Path(),
    drop_damaged: bool = typer.Option(False, "--drop-damaged", help="Drop damaged lines"),
) -> None:
    """Merge the small segments of each key, and drop replaced records.

    ita cache compact

    ita cache compact s3://bucket/ita-cache
    """
    count = 0
    for place, compacted in api.cache.compact(open_shared(url, of_shared), workspace, drop_damaged):
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
        int | None, typer.Option(min=1, metavar="N", help="Keep the N last used keys of each stage (default: 1)")
    ] = None,
    max_size: Annotated[
        str | None, typer.Option(metavar="SIZE", help="Remove keys until this size remains, such as 10GB")
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Show what would be removed, without removing it")
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Remove without asking")] = False,
    workspace: opts.WorkspaceFolder = Path(),
) -> None:
    """Remove the least recently used keys. Always keeps the last used key of each stage.

    ita cache gc --keep 2 --dry-run

    ita cache gc --max-size 10GB --yes
    """
    shared = open_shared(url, of_shared)
    max_bytes = None if max_size is None else _parse_size(max_size)
    keep = 1 if keep is None and max_bytes is None else keep
    removal = api.cache.plan_cleanup(shared, workspace, keep, max_bytes)
    _print_removal(removal)
    if max_bytes is not None and removal.kept_bytes > max_bytes:
        stays = f"{removal.kept_bytes / 1e6:.2f} MB stay, more than {max_size}"
        print_message(f"{stays}: the key of each stage used last is kept")
    if dry_run or not (removal.removed or removal.leftovers):
        return
    if not yes and not (sys.stdin.isatty() and typer.confirm("remove them?", err=True)):
        raise UsageError("nothing was removed", "--yes removes without asking, --dry-run only shows")
    removed = api.cache.remove_keys(removal, shared, workspace)
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


def _print_removal(removal: api.cache.Removal) -> None:
    if not removal.removed and not removal.leftovers:
        print_message("nothing to remove")
        return
    print(table(["goes", "key", *USAGE_HEADER], [_row(usage) for usage in removal.removed]))
    for path in removal.leftovers:
        print(f"leftover of a crashed run: {clean_path(path)}")
    size = f"{removal.removed_bytes / 1e6:.2f} MB go, {removal.kept_bytes / 1e6:.2f} MB"
    print_message(f"{size} in {len(removal.kept)} keys stay")


@app.command()
def push(url: Target = None, stage: Stages = None, workspace: opts.WorkspaceFolder = Path()) -> None:
    """Upload the records that a shared cache does not have.

    ita cache push s3://bucket/ita-cache
    """
    hint = "hint: ita cache verify says more, ita cache compact --drop-damaged mends"
    _print_transfers("put", api.cache.push_cache(url or "", workspace, tuple(stage or ())), hint)


@app.command()
def pull(url: Target = None, stage: Stages = None, workspace: opts.WorkspaceFolder = Path()) -> None:
    """Download the records that this workspace does not have, and check each of them.

    The content of records is trusted: share a cache only with people whose results you would use.

    ita cache pull s3://bucket/ita-cache
    """
    hint = "hint: ita cache compact URL --drop-damaged keeps every good line; the rest is computed anew"
    _print_transfers("fetched", api.cache.pull_cache(url or "", workspace, tuple(stage or ())), hint)


def _print_transfers(verb: str, transfers: Iterable[api.cache.KeyTransfer], hint: str) -> None:
    """Print what was transferred; damaged records end the command with the hint."""
    rows: list[list[str]] = []
    damaged: list[str] = []
    for transferred in transfers:
        key, moved = transferred.key, transferred.transfer
        rows.append([key.stage, key.short[:8], str(moved.segments), f"{moved.size / 1e6:.2f}"])
        damaged += api.cache.damaged_lines(moved)
        if transferred.left_out:
            print_message(f"{key.stage} {key.short[:8]} is left out: {transferred.left_out}")
    print(table([verb, "key", "segments", "MB"], rows))
    for line in damaged:
        print_message(f"damaged, and left out: {clean_path(line)}")
    if damaged:
        print_message(hint)
        raise typer.Exit(ExitCode.CORRUPT)


@app.command()
def export(
    file: Annotated[
        Path, typer.Argument(metavar="FOLDER", help="Folder to write to, or FILE.parquet for a single stage")
    ],
    url: Address = None,
    of_shared: OfShared = False,
    stage: Stages = None,
    form: Annotated[
        Literal["parquet"], typer.Option("--format", help="Format; writes one file per stage")
    ] = "parquet",
    workspace: opts.WorkspaceFolder = Path(),
) -> None:
    """Export all records to Parquet files for other programs.

    ita cache export records/ --format parquet
    """
    if file.suffix.lower() == ".zip":
        raise _no_archives_error()
    parts, skipped = api.cache.export_parquet(file, open_shared(url, of_shared), workspace, tuple(stage or ()))
    for part in parts:
        size = f"{part.size / 1e6:.2f} MB"
        print(f"{clean_path(part.file)}: {part.records} records under {part.keys} keys, {size}")
    for key, reason in skipped:
        print_message(f"{key.stage} {key.short[:8]} is left out: {reason}")


@app.command("import", hidden=True, context_settings={"allow_extra_args": True, "ignore_unknown_options": True})
def import_() -> None:
    """Refuse the archives that earlier versions imported."""
    raise _no_archives_error()


def _no_archives_error() -> UsageError:
    return UsageError(
        "ita cache no longer reads or writes ZIP archives",
        "ita cache push FOLDER_OR_URL puts the cache there, and ita cache pull FOLDER_OR_URL fetches it",
    )
