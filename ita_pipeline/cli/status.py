"""`ita status` and `ita why`: what is fresh, stale and failed, and why; and all about one picture or post."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Annotated, Any

import typer

import ita_pipeline as ita
from ita_pipeline import api
from ita_pipeline.cli import options as opts
from ita_pipeline.cli.console import print_first, print_message, resumable, table
from ita_pipeline.core.errors import ExitCode
from ita_pipeline.core.text import clean_line, clean_path, format_count

MAX_LINES = 8

MAX_CHARACTERS = 300


@opts.expand_groups
def status(
    target: Annotated[
        str | None,
        typer.Argument(
            metavar="[DATASET|SOURCE]",
            help="Dataset or pictures; by default all pictures processed in this workspace",
        ),
    ] = None,
    *,
    selection: opts.StageSelection,
    location: opts.CacheLocation,
    repetition: opts.Repetition,
    shard: opts.ShardOf = None,
    data: opts.DatasetFolder = None,
    settings: opts.TrainingSettings,
    as_json: opts.AsJson = False,
    exit_code: Annotated[bool, typer.Option("--exit-code", help="Exit with 1 if anything is stale")] = False,
) -> None:
    """Show what is fresh, stale and failed in each stage, why, and how long the rest will take.

    ita status

    ita status images/

    ita status example --preset bundled
    """
    options = opts.build_options(selection, location, repetition, shard=shard)
    training = opts.build_training(data, settings, stages=selection.stages)
    with resumable() as display:
        result = ita.status(target, options, training, display)
    print_status(result, as_json)
    if result.damaged:
        raise typer.Exit(ExitCode.CORRUPT)
    if exit_code and result.stale:
        raise typer.Exit(ExitCode.NOT_CLEAN)


def print_status(status: api.status.Status, as_json: bool) -> None:
    """Print a status as JSON or as a table with reasons."""
    if as_json:
        print(json.dumps(status.to_json()))
        return
    rows = [
        [row.stage, row.key[:8] or "?", str(row.fresh), str(row.stale), str(row.failed), _format_forecast(row)]
        for row in status.stages
    ]
    print(table(["stage", "key", "fresh", "stale", "failed", "forecast"], rows))
    for row in status.stages:
        _print_reasons(row)
    print_first(
        [f"{clean_path(item.label)} cannot be read: {item.reason}" for item in status.unreadable], MAX_LINES
    )
    for folder in status.unfinished:
        print(f"unfinished run: {clean_path(folder)}; run its command again to resume it, or remove the folder")
    if status.damaged:
        print_message(
            "hint: ita cache verify lists damaged lines, and ita cache compact --drop-damaged removes them"
        )


def _print_reasons(row: api.status.StageStatus) -> None:
    """Print why items of a stage are stale, the most frequent reason first."""
    for reason, count in list(row.reasons.items())[:MAX_LINES]:
        print(f"{row.stage}: {reason}" if row.stage == "training" else f"{row.stage}: {count} × {reason}")
    if len(row.reasons) > MAX_LINES:
        print(f"{row.stage}: and {len(row.reasons) - MAX_LINES} other reasons")
    for kind, count in row.failures.items():
        print(f"{row.stage}: {count} failed before ({kind}); retry with --retry-failed {kind}")
    if row.damaged:
        print(f"{row.stage}: {format_count(row.damaged, 'damaged line')} in the cache")


def _format_forecast(row: api.status.StageStatus) -> str:
    if not row.stale:
        return "–"
    seconds = row.seconds_forecast
    if seconds is None:
        return "unknown"
    for size, unit in ((3600, "h"), (60, "min")):
        if seconds >= 2 * size:
            return f"{seconds / size:.1f} {unit}"
    return f"{seconds:.1f} s"


@opts.expand_groups
def why(
    target: Annotated[
        str,
        typer.Argument(
            metavar="PICTURE|POSTS|DATASET",
            help="Picture (path, URL or archive.tar::name), or with --post the file or dataset",
        ),
    ],
    post: Annotated[
        str | None, typer.Option(metavar="ID", help="Explain this post of a .jsonl file or a dataset")
    ] = None,
    data: opts.DatasetFolder = None,
    *,
    selection: opts.StageSelection,
    location: opts.CacheLocation,
    as_json: opts.AsJson = False,
) -> None:
    """Show the records of one picture or post, where they are stored, and what determined their keys.

    ita why images/a.jpg

    ita why images/a.jpg --stage ocr --set ocr.page_mode=6

    ita why posts.jsonl --post 12 --stage knowledge
    """
    options = opts.build_options(selection, location)
    with resumable() as display:
        explanation = (
            ita.why(target, options) if post is None else api.status.why_post(target, post, options, display, data)
        )
    if as_json:
        print(json.dumps(explanation.to_json()))
        return
    print(f"{clean_path(explanation.label)}\n{'sha256' if post is None else 'key'} {explanation.key}")
    for stage in explanation.stages:
        print()
        for line in _format_stage(stage):
            print(line)


def _format_stage(stage: api.status.StageExplanation) -> Iterator[str]:
    yield f"{stage.stage}: {stage.status}"
    for reason in stage.reasons:
        yield f"  reason   {clean_line(reason)}"
    record = stage.record
    if record is None:
        yield "  record   none"
    else:
        yield f"  {'older' if stage.is_outdated else 'record':<7}  {clean_path(record.segment)}, line {record.line}"
        yield f"  {'value' if 'value' in record.content else 'failure':<7}  {_format_content(record.content)}"
        yield f"  time     {record.content.get('seconds', 0)} s"
    yield f"  key      {stage.key.hexdigest}, computed from"
    for name, value in api.status.list_components(stage.key):
        yield f"           {name} = {clean_line(value)}"


def _format_content(content: Any) -> str:
    """Format a record's value or failure, shortened to a readable length."""
    part = content.get("value", content.get("failure"))
    text = clean_line(json.dumps(part, ensure_ascii=False))
    return text if len(text) <= MAX_CHARACTERS else f"{text[:MAX_CHARACTERS]} … ({len(text):,} characters)"
