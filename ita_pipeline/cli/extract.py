"""`ita extract`: pictures to captions, objects and words, and posts to what a language model knows of them."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ita_pipeline.cli.console import ProgressDisplay, confirm, note, resumable, say, shown, table
from ita_pipeline.cli.options import (
    Actors,
    Address,
    AsJson,
    Assignments,
    DatasetFolder,
    DryRun,
    Engine,
    EngineChoice,
    Gpus,
    Limit,
    MaxRequests,
    MaxTokens,
    Preset,
    Refresh,
    RetryFailed,
    ShardOf,
    Shared,
    Stages,
    WorkspaceFolder,
    Yes,
    base_settings,
    budget,
    kinds,
    ray_pool,
    shard_of,
)
from ita_pipeline.cli.status import show_status
from ita_pipeline.core.errors import ExitCode, UsageError

if TYPE_CHECKING:
    from pathlib import PurePath

    from ita_pipeline.extraction.pictures import Extraction
    from ita_pipeline.sources.refs import ItemRef


MOST_NAMED = 20


def extract(
    target: Annotated[
        str,
        typer.Argument(
            metavar="SOURCE|POSTS|DATASET",
            help="A folder of pictures, everything below it is read, here or at a URL such as s3://bucket/folder; "
            "a .tar, a .parquet, or a list of paths and URLs; posts in a .jsonl file; or a dataset.",
        ),
    ],
    data: DatasetFolder = None,
    preset: Preset = "auto",
    stage: Stages = None,
    assignments: Assignments = None,
    workspace: WorkspaceFolder = Path(),
    shared: Shared = "",
    retry_failed: RetryFailed = None,
    refresh: Refresh = None,
    limit: Limit = None,
    shard: ShardOf = None,
    max_requests: MaxRequests = None,
    max_tokens: MaxTokens = None,
    yes: Yes = False,
    engine: Engine = EngineChoice.LOCAL,
    actors: Actors = None,
    num_gpus: Gpus = None,
    address: Address = None,
    show: Annotated[
        Path | None, typer.Option(metavar="PAGE", help="Write a page with the pictures and what was found in them.")
    ] = None,
    dry_run: DryRun = False,
    as_json: AsJson = False,
) -> None:
    """Turn pictures into captions, object tags and OCR text, and posts into knowledge, doing only what is stale.

    ita extract images/

    ita extract images/ --show found.html

    ita extract s3://bucket/pictures/

    ita extract 'shard-{000..012}.tar'

    ita extract images/ --stage ocr --set ocr.languages=eng+deu

    ita extract images/ --shard 3/16

    ita extract images/ --engine ray --actors 8 --num-gpus 0.5

    ita extract posts.jsonl --set knowledge.endpoint=http://localhost:11434/v1 --set knowledge.model=NAME
    """
    import ita_pipeline as ita
    from ita_pipeline.api.extract import plan_extraction
    from ita_pipeline.api.status import picture_status

    if show is not None and show.is_dir():
        raise UsageError(f"{show} is a folder", f"name the page in it: --show {show / 'found.html'}")
    options = ita.Options(
        preset=preset,
        stages=tuple(stage or ()),
        assignments=(*(assignments or ()), *budget(max_requests, max_tokens)),
        base=base_settings(),
        workspace=workspace,
        shared=shared,
        retry_failed=kinds(retry_failed),
        refresh=tuple(refresh or ()),
        limit=limit,
        shard=shard_of(shard),
        consent=yes,
        confirm=confirm,
        ray=ray_pool(engine, actors, num_gpus, address),
    )
    display = ProgressDisplay()
    with resumable(display):
        if dry_run:
            plan = plan_extraction(target, options, display, data)
            plan.plan.check()
            show_status(picture_status(plan), as_json)
            return
        extraction = ita.extract(target, options, display, data)
        report = ita.ReportOptions(workspace=workspace, data=data)
        page = ita.report(target, show, report, display) if show else None
    print(json.dumps(as_object(extraction)) if as_json else outcome_table(extraction))
    copies = len(extraction.images) - len({image.key for image in extraction.images})
    if copies:
        note(f"{copies} of {len(extraction.images)} pictures are copies of others, which count once")
    for line in extraction.notes:
        say(line)
    if extraction.waiting:
        why = "the same command again goes on" if extraction.notes else "--limit"
        what = "pictures or posts" if extraction.posts else "pictures"
        note(f"{extraction.waiting} {what} are left for another time ({why})")
    tell_others(extraction.others)
    tell_failed(extraction)
    if page is not None:
        beside = f", which needs {shown(page.pictures)} beside it" if page.pictures else ""
        note(f"{page.shown} {page.what} are shown in {shown(page.page)}{beside}")
    end(extraction)
    if extraction.notes:
        raise typer.Exit(ExitCode.NOT_CLEAN)


def end(*extractions: Extraction) -> None:
    """
    Raises:
        typer.Exit: not everything was done, not everything is in the shared cache, or something there is damaged.
    """
    if any(extraction.sharing.damaged for extraction in extractions):
        say(
            "hint: ita cache verify --shared names what is damaged, ita cache compact --shared --drop-damaged mends"
        )
        raise typer.Exit(ExitCode.CORRUPT)
    if not all(extraction.clean for extraction in extractions):
        raise typer.Exit(ExitCode.NOT_CLEAN)


def as_object(extraction: Extraction) -> dict[str, Any]:
    stages = [
        {
            "stage": outcome.key.stage,
            "key": outcome.key.hexdigest,
            "fresh": outcome.fresh,
            "done": outcome.done,
            "failed": len(outcome.failed),
            "waiting": outcome.waiting,
            "seconds": round(outcome.seconds, 3),
        }
        for outcome in extraction.stages
    ]
    failed = [{**named(f.item), **f.failure.model_dump(mode="json")} for f in extraction.failed]
    unreadable = [{"image": shown(item.label), "reason": item.reason} for item in extraction.unreadable]
    clean = extraction.clean
    return {
        "schema": "ita.extraction/1", "stages": stages, "failed": failed, "unreadable": unreadable, "clean": clean
    }  # fmt: skip


def named(item: ItemRef) -> dict[str, str]:
    from ita_pipeline.sources.refs import PostRef

    return {"post": item.id} if isinstance(item, PostRef) else {"image": shown(item.label)}


def outcome_table(extraction: Extraction) -> str:
    rows = [
        [s.key.stage, str(s.fresh), str(s.done), str(len(s.failed)), f"{s.seconds:.1f}"] for s in extraction.stages
    ]
    return table(["stage", "fresh", "done now", "failed", "seconds"], rows)


def tell_others(others: tuple[PurePath, ...]) -> None:
    if not others:
        return
    kinds = Counter(path.suffix.lower() or "no suffix" for path in others)
    counts = ", ".join(f"{count} {kind}" for kind, count in kinds.most_common())
    names = ", ".join(shown(path.name) for path in others[:5]) + (", …" if len(others) > 5 else "")
    note(f"{len(others)} files are no pictures by their name ({counts}): {names}")


def tell_failed(extraction: Extraction) -> None:
    reasons = [(item.item.label, item.failure.reason) for item in extraction.failed]
    reasons += [(item.label, item.reason) for item in extraction.unreadable]
    if not reasons:
        return
    from ita_pipeline.sources.refs import PostRef

    posts = any(isinstance(item.item, PostRef) for item in extraction.failed)
    say(f"{len(reasons)} {'pictures or posts' if posts else 'pictures'} could not be read:")
    for name, reason in reasons[:MOST_NAMED]:
        say(f"  {shown(name)}: {reason}")
    if len(reasons) > MOST_NAMED:
        say(f"  and {len(reasons) - MOST_NAMED} more")
    say("hint: replace or remove them; everything else is done, and --retry-failed tries them again")
