"""`ita why`: what is known of one picture or post, where it lies, what decided it, and what has changed since."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ita_pipeline.cli.console import ProgressDisplay, resumable, shown
from ita_pipeline.cli.options import (
    AsJson,
    Assignments,
    DatasetFolder,
    Preset,
    Shared,
    Stages,
    WorkspaceFolder,
    base_settings,
)
from ita_pipeline.core.text import clean_line

if TYPE_CHECKING:
    from ita_pipeline.extraction.explain import StageExplanation


MOST_SHOWN = 300


def why(
    target: Annotated[
        str,
        typer.Argument(
            metavar="PICTURE|POSTS|DATASET",
            help="A picture, by its path, URL or archive.tar::name; or with --post, where the post is.",
        ),
    ],
    post: Annotated[str | None, typer.Option(metavar="ID", help="One post of a .jsonl file or a dataset.")] = None,
    data: DatasetFolder = None,
    preset: Preset = "auto",
    stage: Stages = None,
    assignments: Assignments = None,
    workspace: WorkspaceFolder = Path(),
    shared: Shared = "",
    as_json: AsJson = False,
) -> None:
    """Explain one picture or post: its records, where they lie, what decided them, and what has changed since.

    ita why images/a.jpg

    ita why images/a.jpg --stage ocr --set ocr.page_mode=6

    ita why posts.jsonl --post 12 --stage knowledge
    """
    import ita_pipeline as ita
    from ita_pipeline.api.status import why_post

    options = ita.Options(
        preset, tuple(stage or ()), tuple(assignments or ()), workspace, base=base_settings(), shared=shared
    )
    display = ProgressDisplay()
    with resumable(display):
        found = ita.why(target, options) if post is None else why_post(target, post, options, display, data)
    if as_json:
        print(json.dumps(found.to_json()))
        return
    print(f"{shown(found.label)}\n{'sha256' if post is None else 'key'} {found.key}")
    for answer in found.stages:
        print()
        for line in told(answer):
            print(line)


def told(answer: StageExplanation) -> Iterator[str]:
    """What a stage says, in lines for a person."""
    from ita_pipeline.extraction.explain import list_components

    yield f"{answer.stage}: {answer.status}"
    for reason in answer.reasons:
        yield f"  because  {clean_line(reason)}"
    place = answer.record
    if place is None:
        yield "  record   none under any key"
    else:
        yield f"  {'older' if answer.is_outdated else 'record':<7}  {shown(place.segment)}, line {place.line}"
        yield f"  says     {said(place.content)}"
        yield f"  took     {place.content.get('seconds', 0)} s"
    yield f"  key      {answer.key.hexdigest}, of"
    for name, value in list_components(answer.key):
        yield f"           {name} = {clean_line(value)}"


def said(content: Any) -> str:
    """A record's value or failure, cut to what a person reads at a glance."""
    part = content.get("value", content.get("failure"))
    text = clean_line(json.dumps(part, ensure_ascii=False))
    return text if len(text) <= MOST_SHOWN else f"{text[:MOST_SHOWN]} … ({len(text):,} characters)"
