"""`ita cache`: what lies in the cache, whether it is whole, and its segments brought together."""

from __future__ import annotations

import json
from datetime import datetime
from pathlib import Path

import typer

from ita_pipeline.cli.console import say, shown, table
from ita_pipeline.cli.options import AsJson, WorkspaceFolder
from ita_pipeline.errors import ExitCode

app = typer.Typer(help="Look after the cache: ls, verify, compact.", no_args_is_help=True)
MOST_NAMED = 20


@app.command("ls")
def list_keys(workspace: WorkspaceFolder = Path(), as_json: AsJson = False) -> None:
    """Show every stage key with its records, its size and when it was used last.

    ita cache ls
    """
    from ita_pipeline.cache.maintenance import holdings
    from ita_pipeline.workspace import Workspace

    found = holdings(Workspace(workspace).store)
    if as_json:
        keys = [
            {
                "stage": item.key.stage,
                "key": item.key.hexdigest,
                "components": item.key.components,
                "values": item.values,
                "failures": item.failures,
                "segments": item.segments,
                "bytes": item.size,
                "last_used": datetime.fromtimestamp(item.used).astimezone().isoformat(timespec="seconds"),
            }
            for item in found
        ]
        print(json.dumps({"schema": "ita.cache/1", "keys": keys}))
        return
    rows = [
        [
            item.key.stage,
            item.key.hexdigest[:8],
            str(item.values),
            str(item.failures),
            str(item.segments),
            f"{item.size / 1e6:.1f}",
            f"{datetime.fromtimestamp(item.used):%Y-%m-%d %H:%M}",
        ]
        for item in found
    ]
    print(table(["stage", "key", "values", "failures", "segments", "MB", "last used"], rows))


@app.command()
def verify(workspace: WorkspaceFolder = Path()) -> None:
    """Read every record and hold it against its check sum.

    ita cache verify
    """
    from ita_pipeline.cache import maintenance
    from ita_pipeline.workspace import Workspace

    found = maintenance.verify(Workspace(workspace).store)
    print(f"{found.lines} lines in {found.segments} segments, {len(found.damage)} damaged")
    for damage in found.damage[:MOST_NAMED]:
        image = f", of image {damage.image}" if damage.image else ""
        say(f"damaged: {shown(damage.segment)}, line {damage.line}{image}")
    if len(found.damage) > MOST_NAMED:
        say(f"and {len(found.damage) - MOST_NAMED} more")
    if found.damage:
        say("hint: ita cache compact --drop-damaged keeps every good line")
        raise typer.Exit(ExitCode.CORRUPT)


@app.command()
def compact(
    workspace: WorkspaceFolder = Path(),
    drop_damaged: bool = typer.Option(False, "--drop-damaged", help="Leave out lines that are damaged."),
) -> None:
    """Bring the segments of each key together in one, without records that later ones replaced.

    ita cache compact
    """
    from ita_pipeline.cache import maintenance
    from ita_pipeline.workspace import Workspace

    done = False
    for item in maintenance.compact(Workspace(workspace).store, drop_damaged):
        done = True
        dropped = f", {item.dropped} damaged lines left out" if item.dropped else ""
        print(f"{shown(item.folder)}: {item.segments} segments, {item.records} records{dropped}")
    if not done:
        say("nothing to do: no key has more than one segment")
