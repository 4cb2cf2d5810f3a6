"""`ita cache`: show, check, clean up, share and export cached records."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from datetime import datetime
from pathlib import Path
from typing import Annotated, Literal

import typer

from ita_pipeline import api
from ita_pipeline.cli import options as opts
from ita_pipeline.cli.console import confirm_removal, print_first, print_message, resumable, table
from ita_pipeline.core.errors import ExitCode, UsageError
from ita_pipeline.core.text import clean_path, format_count

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
        print_message(f"cannot determine the current keys: {error}")
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
        raise UsageError("--recompute does not work on a shared cache", "copy it here first: ita cache pull")
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
        print_message(f"hint: ita cache compact {where}--drop-damaged removes the damaged lines")
        raise typer.Exit(ExitCode.CORRUPT)
    if any(recomputation.different for recomputation in recomputations):
        raise typer.Exit(ExitCode.NOT_CLEAN)


def _print_verification(checked: api.cache.Verification, recomputations: Sequence[api.cache.Recomputation]) -> None:
    lines, segments = format_count(checked.lines, "line"), format_count(checked.segments, "segment")
    print(f"{lines} in {segments}, {len(checked.damage)} damaged")
    if checked.torn:
        print(f"{format_count(checked.torn, 'incomplete last line')} ignored, as a crash can leave it")
    damage = [f"damaged: {clean_path(one.segment)}, {_format_place(one)}" for one in checked.damage]
    print_first(damage, MAX_LINES)
    if not recomputations:
        return
    kinds = list(api.cache.Agreement)
    rows: list[list[str]] = []
    for one in recomputations:
        counts = [str(one.count(kind)) for kind in kinds]
        rows.append([one.key.stage, one.key.hexdigest[:8], *counts, str(one.lost)])
    print(table(["stage", "key", *kinds, "lost"], rows))
    for recomputation in recomputations:
        for path in recomputation.different[:MAX_LINES]:
            print_message(f"{recomputation.key.stage} gives a different result for {clean_path(path)}")


def _format_place(damage: api.cache.Damage) -> str:
    image = f", of image {damage.image}" if damage.image else ""
    return f"line {damage.line}{image}" if damage.line else "incomplete"


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
        dropped = f", dropped {format_count(compacted.dropped, 'damaged line')}" if compacted.dropped else ""
        segments, records = format_count(compacted.segments, "segment"), format_count(compacted.records, "record")
        print(f"{clean_path(place)}: {segments}, {records}{dropped}")
    if not count:
        print_message("nothing to do: no key has small segments to merge or replaced records to drop")


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
    dry_run: opts.DryRemoval = False,
    yes: opts.AgreeToRemoval = False,
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
        remains = f"{removal.kept_bytes / 1e6:.2f} MB remain, more than {max_size}"
        print_message(f"{remains}: the last used key of each stage is always kept")
    if dry_run or not (removal.removed or removal.leftovers):
        return
    confirm_removal("Remove these keys?", yes)
    removed = api.cache.remove_keys(removal, shared, workspace)
    leftovers = format_count(len(removal.leftovers), "leftover")
    print_message(f"removed {format_count(len(removed), 'key')} and {leftovers} of crashed runs")
    for usage in removal.removed:
        if usage not in removed:
            print_message(f"kept {usage.key.stage} {usage.key.hexdigest[:8]}: a process is using it")


def _parse_size(text: str) -> int:
    from pydantic import ByteSize, TypeAdapter, ValidationError

    try:
        return int(TypeAdapter(ByteSize).validate_python(text))
    except ValidationError as error:
        raise UsageError(f"--max-size {text} is not a size", "write it as 500MB or 10GB") from error


def _print_removal(removal: api.cache.Removal) -> None:
    if not removal.removed and not removal.leftovers:
        print_message("nothing to remove")
        return
    print(table(["stage", "key", *USAGE_HEADER], [_row(usage) for usage in removal.removed]))
    for path in removal.leftovers:
        print(f"leftover of a crashed run: {clean_path(path)}")
    size = f"{removal.removed_bytes / 1e6:.2f} MB to remove, {removal.kept_bytes / 1e6:.2f} MB to keep"
    print_message(f"{size} in {format_count(len(removal.kept), 'key')}")


@app.command()
def push(url: Target = None, stage: Stages = None, workspace: opts.WorkspaceFolder = Path()) -> None:
    """Upload the records that a shared cache does not have.

    ita cache push s3://bucket/ita-cache
    """
    hint = "hint: ita cache verify lists damaged records, and ita cache compact --drop-damaged removes them"
    _print_transfers("uploaded", api.cache.push_cache(url or "", workspace, tuple(stage or ())), hint)


@app.command()
def pull(url: Target = None, stage: Stages = None, workspace: opts.WorkspaceFolder = Path()) -> None:
    """Download the records that this workspace does not have, and check each of them.

    The content of records is trusted: share a cache only with people whose results you would use.

    ita cache pull s3://bucket/ita-cache
    """
    hint = "hint: ita cache compact URL --drop-damaged removes damaged records, which are then recomputed"
    _print_transfers("downloaded", api.cache.pull_cache(url or "", workspace, tuple(stage or ())), hint)


def _print_transfers(verb: str, transfers: Iterable[api.cache.KeyTransfer], hint: str) -> None:
    """Print what was transferred; damaged records end the command with the hint."""
    rows: list[list[str]] = []
    damaged: list[str] = []
    for transferred in transfers:
        key, moved = transferred.key, transferred.transfer
        rows.append([key.stage, key.short[:8], str(moved.segments), f"{moved.size / 1e6:.2f}"])
        damaged += api.cache.damaged_lines(moved)
        if transferred.left_out:
            print_message(f"skipped {key.stage} {key.short[:8]}: {transferred.left_out}")
    print(table([verb, "key", "segments", "MB"], rows))
    for line in damaged:
        print_message(f"skipped a damaged record: {clean_path(line)}")
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
        records, keys = format_count(part.records, "record"), format_count(part.keys, "key")
        print(f"{clean_path(part.file)}: {records} under {keys}, {part.size / 1e6:.2f} MB")
    for key, reason in skipped:
        print_message(f"skipped {key.stage} {key.short[:8]}: {reason}")


@app.command("import", hidden=True, context_settings={"allow_extra_args": True, "ignore_unknown_options": True})
def import_() -> None:
    """Refuse the archives that earlier versions imported."""
    raise _no_archives_error()


def _no_archives_error() -> UsageError:
    return UsageError(
        "ita cache no longer reads or writes ZIP archives",
        "ita cache push FOLDER_OR_URL puts the cache there, and ita cache pull FOLDER_OR_URL fetches it",
    )
