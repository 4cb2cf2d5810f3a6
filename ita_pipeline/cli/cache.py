"""`ita cache`: what lies in the cache, whether it is whole and right, and what of it may go, come or be carried."""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ita_pipeline.cli.console import ProgressDisplay, confirm, resumable, say, shown, table
from ita_pipeline.cli.options import AsJson, Assignments, Preset, Stages, WorkspaceFolder, base_settings
from ita_pipeline.cli.options import Yes as Consent
from ita_pipeline.core.errors import ExitCode, UsageError

if TYPE_CHECKING:
    from ita_pipeline.cache.cleanup import Removal
    from ita_pipeline.cache.compaction import Compacted
    from ita_pipeline.cache.inventory import KeyUsage, Verification
    from ita_pipeline.cache.shared.store import SharedCache
    from ita_pipeline.extraction.options import Options
    from ita_pipeline.extraction.recompute import Recomputation


app = typer.Typer(
    help="Look after the cache: ls, verify, compact, gc, export, push, pull.",
    no_args_is_help=True,
)

MOST_NAMED = 20


DryRun = Annotated[bool, typer.Option("--dry-run", help="Show what would go, and remove nothing.")]

Yes = Annotated[bool, typer.Option("--yes", help="Remove without asking.")]

Address = Annotated[
    str | None, typer.Argument(metavar="[URL]", help="A shared cache, as s3://bucket/ita-cache; else the one here.")
]

OfShared = Annotated[bool, typer.Option("--shared", help="The shared cache that ita.yaml or ITA_SHARED sets.")]


def place_asked(url: str | None, of_shared: bool) -> SharedCache | None:
    """The shared cache that a command is about, or nothing where it is about the workspace's."""
    from ita_pipeline.api.cache import shared_cache

    return shared_cache(url or "") if url or of_shared else None


def work_folder(workspace: Path) -> Path:
    """Where objects lie while they are looked at."""
    from ita_pipeline.cache.workspace import Workspace

    folder = Workspace(workspace).store.root
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def options_of(preset: str, stage: list[str] | None, assignments: list[str] | None, workspace: Path) -> Options:
    from ita_pipeline.extraction.options import Options

    return Options(
        preset, tuple(stage or ()), tuple(assignments or ()), workspace, base=base_settings(), confirm=confirm
    )


@app.command("ls")
def list_keys(
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
    from ita_pipeline.api.cache import current_keys
    from ita_pipeline.cache import inventory as maintenance
    from ita_pipeline.cache.shared import maintenance as shared_upkeep
    from ita_pipeline.cache.workspace import Workspace
    from stages.base import StageError

    shared = place_asked(url, of_shared)
    if shared is None:
        found = maintenance.list_keys(Workspace(workspace).store)
    else:
        with shared.as_user_errors():
            found = shared_upkeep.list_keys(shared)
    try:
        wanted = current_keys(options_of(preset, None, assignments, workspace))
    except StageError as error:
        say(f"which keys are current cannot be said: {error}")
        wanted = {}
    current = {key.hexdigest for key in wanted.values()}
    if as_json:
        print(json.dumps({"schema": "ita.cache/1", "keys": [as_object(item, current) for item in found]}))
        return
    rows = [as_row(item, current if item.key.stage in wanted else None) for item in found]
    header = ["stage", "key", "current", "values", "failures", "segments", "MB", "last used"]
    print(table(header, rows))


def as_object(item: KeyUsage, current: set[str]) -> dict[str, object]:
    return {
        "stage": item.key.stage,
        "key": item.key.hexdigest,
        "current": item.key.hexdigest in current,
        "components": item.key.components,
        "values": item.values,
        "failures": item.failures,
        "segments": item.segments,
        "bytes": item.size,
        "last_used": datetime.fromtimestamp(item.used).astimezone().isoformat(timespec="seconds"),
    }


def as_row(item: KeyUsage, current: set[str] | None) -> list[str]:
    """`current` is nothing where no stage of the preset could have that key."""
    return [
        item.key.stage,
        item.key.hexdigest[:8],
        "–" if current is None else "yes" if item.key.hexdigest in current else "no",
        "–" if item.values is None else str(item.values),
        "–" if item.failures is None else str(item.failures),
        str(item.segments),
        f"{item.size / 1e6:.2f}",
        f"{datetime.fromtimestamp(item.used):%Y-%m-%d %H:%M}",
    ]


@app.command()
def verify(
    url: Address = None,
    of_shared: OfShared = False,
    recompute: Annotated[
        int | None, typer.Option(min=1, help="Also do so many pictures of each stage again, and compare.")
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="Which pictures are drawn.")] = 0,
    preset: Preset = "auto",
    stage: Stages = None,
    assignments: Assignments = None,
    workspace: WorkspaceFolder = Path(),
    consent: Consent = False,
    as_json: AsJson = False,
) -> None:
    """Read every record and hold it against its check sum; with --recompute, do some again and compare.

    ita cache verify

    ita cache verify --recompute 20 --preset bundled

    ita cache verify s3://bucket/ita-cache
    """
    from ita_pipeline.api import cache as upkeep
    from ita_pipeline.cache import inventory as maintenance
    from ita_pipeline.cache.shared import maintenance as shared_upkeep
    from ita_pipeline.cache.workspace import Workspace

    shared = place_asked(url, of_shared)
    if shared is None:
        checked = maintenance.verify(Workspace(workspace).store)
    elif recompute:
        raise UsageError("--recompute is about the cache here", "ita cache pull first")
    else:
        with shared.as_user_errors():
            checked = shared_upkeep.verify(shared, work_folder(workspace))
    again: list[Recomputation] = []
    if recompute and not checked.damage:
        display = ProgressDisplay()
        with resumable(display):
            options = replace(options_of(preset, stage, assignments, workspace), consent=consent)
            again = list(upkeep.recompute(recompute, options, seed, display))
    if as_json:
        print(json.dumps(verified(checked, again)))
    else:
        tell_verified(checked, again)
    if checked.damage:
        where = f"{shared.url} " if shared is not None else ""
        say(f"hint: ita cache compact {where}--drop-damaged keeps every good line")
        raise typer.Exit(ExitCode.CORRUPT)
    if any(found.different for found in again):
        raise typer.Exit(ExitCode.NOT_CLEAN)


def verified(checked: Verification, again: list[Recomputation]) -> dict[str, object]:
    from ita_pipeline.extraction.recompute import Agreement

    damage = [{"segment": shown(d.segment), "line": d.line, "image": d.image} for d in checked.damage]
    recomputed = [
        {
            "stage": found.key.stage,
            "key": found.key.hexdigest,
            **{kind.value: found.count(kind) for kind in Agreement},
            "lost": found.lost,
            "differing": [shown(path) for path in found.different],
        }
        for found in again
    ]
    return {
        "schema": "ita.verify/1",
        "segments": checked.segments,
        "lines": checked.lines,
        "damaged": damage,
        "recomputed": recomputed,
    }


def tell_verified(checked: Verification, again: list[Recomputation]) -> None:
    from ita_pipeline.extraction.recompute import Agreement

    print(f"{checked.lines} lines in {checked.segments} segments, {len(checked.damage)} damaged")
    for damage in checked.damage[:MOST_NAMED]:
        image = f", of image {damage.image}" if damage.image else ""
        what = f"line {damage.line}{image}" if damage.line else "its end is missing"
        say(f"damaged: {shown(damage.segment)}, {what}")
    if len(checked.damage) > MOST_NAMED:
        say(f"and {len(checked.damage) - MOST_NAMED} more")
    if not again:
        return
    rows = [
        [found.key.stage, found.key.hexdigest[:8], *(str(found.count(kind)) for kind in Agreement), str(found.lost)]
        for found in again
    ]
    print(table(["done again", "key", *(kind.value for kind in Agreement), "picture lost"], rows))
    for found in again:
        for path in found.different[:MOST_NAMED]:
            say(f"{found.key.stage} says something else of {shown(path)} now")


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
    from ita_pipeline.cache import compaction
    from ita_pipeline.cache.shared import maintenance as shared_upkeep
    from ita_pipeline.cache.workspace import Workspace

    shared = place_asked(url, of_shared)
    done = False
    if shared is None:
        for item in compaction.compact(Workspace(workspace).store, drop_damaged):
            tell_compacted(str(item.folder), item)
            done = True
    else:
        with shared.as_user_errors():
            for address, item in shared_upkeep.compact(shared, work_folder(workspace), drop_damaged):
                tell_compacted(address, item)
                done = True
    if not done:
        say("nothing to do: no key has small segments to bring together, and none holds what was replaced")


def tell_compacted(where: str, item: Compacted) -> None:
    dropped = f", {item.dropped} damaged lines left out" if item.dropped else ""
    print(f"{shown(where)}: {item.segments} segments, {item.records} records{dropped}")


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
    dry_run: DryRun = False,
    yes: Yes = False,
    workspace: WorkspaceFolder = Path(),
) -> None:
    """Remove keys that were not used for long. The key of a stage that was used last always stays.

    ita cache gc --keep 2 --dry-run

    ita cache gc --max-size 10GB --yes
    """
    from ita_pipeline.cache import cleanup as collection
    from ita_pipeline.cache.shared import maintenance as shared_upkeep
    from ita_pipeline.cache.workspace import Workspace

    shared = place_asked(url, of_shared)
    most = None if max_size is None else size_in_bytes(max_size)
    keep = 1 if keep is None and most is None else keep
    if shared is None:
        removal = collection.plan_cleanup(Workspace(workspace).store, keep, most)
    else:
        with shared.as_user_errors():
            removal = shared_upkeep.plan_cleanup(shared, keep, most)
    show_removal(removal)
    if most is not None and removal.kept_bytes > most:
        say(
            f"{removal.kept_bytes / 1e6:.2f} MB stay, more than {max_size}: the key of each stage used last is kept"
        )
    if dry_run or not (removal.removed or removal.leftovers):
        return
    if not yes and not agreed():
        raise UsageError("nothing was removed", "--yes removes without asking, --dry-run only shows")
    if shared is None:
        removed = list(collection.remove(removal))
    else:
        with shared.as_user_errors():
            removed = list(shared_upkeep.remove(shared, removal))
    say(f"removed {len(removed)} keys and {len(removal.leftovers)} leftovers of crashed runs")
    for holding in removal.removed:
        if holding not in removed:
            say(f"left alone, because a process works under it: {holding.key.stage} {holding.key.hexdigest[:8]}")


def size_in_bytes(text: str) -> int:
    from pydantic import ByteSize, TypeAdapter, ValidationError

    try:
        return int(TypeAdapter(ByteSize).validate_python(text))
    except ValidationError as error:
        raise UsageError(f"--max-size {text} is no size", "write it as 500MB or 10GB") from error


def show_removal(removal: Removal) -> None:
    if not removal.removed and not removal.leftovers:
        say("nothing to remove")
        return
    header = ["goes", "key", "current", "values", "failures", "segments", "MB", "last used"]
    rows = [as_row(item, None) for item in removal.removed]
    print(table([name for name in header if name != "current"], [[*row[:2], *row[3:]] for row in rows]))
    for path in removal.leftovers:
        print(f"leftover of a crashed run: {shown(path)}")
    removed, kept = removal.removed_bytes / 1e6, removal.kept_bytes / 1e6
    say(f"{removed:.2f} MB go, {kept:.2f} MB in {len(removal.kept)} keys stay")


def agreed() -> bool:
    """Ask, where there is somebody to ask."""
    return sys.stdin.isatty() and typer.confirm("remove them?", err=True)
