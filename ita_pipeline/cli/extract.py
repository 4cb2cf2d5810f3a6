"""`ita extract`: pictures to captions, objects and words, and posts to what a language model knows of them."""

from __future__ import annotations

import json
import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path, PurePath
from typing import Annotated

import typer

import ita_pipeline as ita
from ita_pipeline import api
from ita_pipeline.cli import options as opts
from ita_pipeline.cli.console import print_first, print_message, print_note, resumable, table
from ita_pipeline.cli.status import print_status
from ita_pipeline.core.errors import ExitCode, UsageError
from ita_pipeline.core.text import clean_path, format_count

MAX_FAILURES = 20

MAX_NAMES = 5


@opts.expand_groups
def extract(
    target: Annotated[
        str,
        typer.Argument(
            metavar="SOURCE|POSTS|DATASET",
            help="Folder of pictures (read recursively) or its URL, .tar, .parquet, list of paths and URLs, "
            ".jsonl file of posts, or dataset",
        ),
    ],
    data: opts.DatasetFolder = None,
    *,
    selection: opts.StageSelection,
    location: opts.CacheLocation,
    repetition: opts.Repetition,
    limit: opts.Limit = None,
    shard: opts.ShardOf = None,
    sending: opts.Sending,
    cluster: opts.Cluster,
    show: Annotated[
        Path | None, typer.Option(metavar="PAGE", help="Write an HTML page with the pictures and their results")
    ] = None,
    dry_run: opts.DryRun = False,
    as_json: opts.AsJson = False,
) -> None:
    """Extract captions, object tags, OCR text and knowledge from stale pictures and posts.

    ita extract images/

    ita extract images/ --show found.html

    ita extract s3://bucket/pictures/

    ita extract 'shard-{000..012}.tar'

    ita extract images/ --stage ocr --set ocr.languages=eng+deu

    ita extract images/ --shard 3/16

    ita extract images/ --engine ray --actors 8 --num-gpus 0.5

    ita extract posts.jsonl --stage knowledge --set knowledge.model=NAME
    """
    if show is not None and show.is_dir():
        raise UsageError(f"{show} is a folder", f"give the name of a file: --show {show / 'found.html'}")
    options = opts.build_options(
        selection, location, repetition, sending, limit=limit, shard=shard, ray=cluster.ray_pool()
    )
    with resumable() as display:
        if dry_run:
            plan = api.extract.plan_extraction(target, options, display, data)
            plan.plan.check()
            print_status(api.status.extraction_status(plan), as_json)
            return
        extraction = ita.extract(target, options, display, data)
        report = ita.ReportOptions(workspace=location.workspace, data=data)
        page = ita.report(target, show, report, display) if show else None
    print(json.dumps(api.extract.extraction_to_json(extraction)) if as_json else outcome_table(extraction))
    copies = len(extraction.images) - len({image.key for image in extraction.images})
    if copies:
        print_note(f"{format_count(copies, 'duplicate')} among {len(extraction.images)} pictures, processed once")
    for line in extraction.notes:
        print_message(line)
    if extraction.waiting:
        why = "run the same command again to continue" if extraction.notes else "--limit"
        print_note(f"{api.extract.count_items(extraction.waiting, bool(extraction.posts))} not processed ({why})")
    _print_other_files(extraction.others)
    print_failures(extraction)
    if page is not None:
        beside = f"; keep {clean_path(page.pictures)} beside it" if page.pictures else ""
        print_note(
            f"wrote {clean_path(page.page)} with {format_count(page.shown, page.what.removesuffix('s'))}{beside}"
        )
    exit_unless_clean(extraction)
    if extraction.notes:
        raise typer.Exit(ExitCode.NOT_CLEAN)


def exit_unless_clean(*extractions: api.extract.Extraction) -> None:
    """End the command with an exit code of its own if anything failed or is damaged in the shared cache.

    Raises:
        typer.Exit: something failed, is damaged or is not in the shared cache yet.
    """
    if any(extraction.sharing.damaged for extraction in extractions):
        verify, compact = "ita cache verify --shared", "ita cache compact --shared --drop-damaged"
        print_message(f"hint: {verify} lists the damaged records, and {compact} removes them")
        raise typer.Exit(ExitCode.CORRUPT)
    if not all(extraction.clean for extraction in extractions):
        raise typer.Exit(ExitCode.NOT_CLEAN)


def print_outcome(extraction: api.extract.Extraction) -> None:
    """Print what the stages did for another command, if any ran, and their failures."""
    if extraction.stages:
        print(outcome_table(extraction), file=sys.stderr)
    print_failures(extraction)


def outcome_table(extraction: api.extract.Extraction) -> str:
    """Format what each stage did."""
    rows = [
        [s.key.stage, str(s.fresh), str(s.done), str(len(s.failed)), f"{s.seconds:.1f}"] for s in extraction.stages
    ]
    return table(["stage", "fresh", "done now", "failed", "seconds"], rows)


def _print_other_files(others: Sequence[PurePath]) -> None:
    if not others:
        return
    suffixes = Counter(path.suffix.lower() or "without extension" for path in others)
    counts = ", ".join(f"{count} {suffix}" for suffix, count in suffixes.most_common())
    names = ", ".join(clean_path(path.name) for path in others[:MAX_NAMES])
    more = ", …" if len(others) > MAX_NAMES else ""
    skipped = format_count(len(others), "file that has", "files that have")
    print_note(f"skipped {skipped} no image extension ({counts}): {names}{more}")


def print_failures(extraction: api.extract.Extraction) -> None:
    """Print the first failures of an extraction, and how to fix them."""
    reasons = [(failure.item.label, failure.failure.reason) for failure in extraction.failed]
    reasons += [(unreadable.label, unreadable.reason) for unreadable in extraction.unreadable]
    if not reasons:
        return
    what = api.extract.count_items(len(reasons), api.extract.includes_failed_posts(extraction))
    print_message(f"{what} could not be read:")
    print_first([f"  {clean_path(name)}: {reason}" for name, reason in reasons], MAX_FAILURES, indent="  ")
    them = "it" if len(reasons) == 1 else "them"
    print_message(f"hint: replace or remove {them}, or use --retry-failed to try again; everything else is done")
