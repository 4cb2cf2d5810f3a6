"""`ita why`: a picture's or post's records, where they are stored, what determined them, and what has changed."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ita_pipeline.cli.console import resumable
from ita_pipeline.cli.option_groups import CacheLocation, StageSelection, build_options, expand_groups
from ita_pipeline.cli.options import AsJson, DatasetFolder
from ita_pipeline.core.text import clean_line, clean_path

if TYPE_CHECKING:
    from ita_pipeline.api.status import StageExplanation

MAX_CHARACTERS = 300


@expand_groups
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
    *,
    selection: StageSelection,
    location: CacheLocation,
    as_json: AsJson = False,
) -> None:
    """Explain one picture or post: its records, where they lie, what decided them, and what has changed since.

    ita why images/a.jpg

    ita why images/a.jpg --stage ocr --set ocr.page_mode=6

    ita why posts.jsonl --post 12 --stage knowledge
    """
    import ita_pipeline as ita
    from ita_pipeline.api.status import why_post

    options = build_options(selection, location)
    with resumable() as display:
        explanation = ita.why(target, options) if post is None else why_post(target, post, options, display, data)
    if as_json:
        print(json.dumps(explanation.to_json()))
        return
    print(f"{clean_path(explanation.label)}\n{'sha256' if post is None else 'key'} {explanation.key}")
    for stage in explanation.stages:
        print()
        for line in _format_stage(stage):
            print(line)


def _format_stage(stage: StageExplanation) -> Iterator[str]:
    from ita_pipeline.api.status import list_components

    yield f"{stage.stage}: {stage.status}"
    for reason in stage.reasons:
        yield f"  because  {clean_line(reason)}"
    record = stage.record
    if record is None:
        yield "  record   none under any key"
    else:
        yield f"  {'older' if stage.is_outdated else 'record':<7}  {clean_path(record.segment)}, line {record.line}"
        yield f"  says     {_format_content(record.content)}"
        yield f"  took     {record.content.get('seconds', 0)} s"
    yield f"  key      {stage.key.hexdigest}, of"
    for name, value in list_components(stage.key):
        yield f"           {name} = {clean_line(value)}"


def _format_content(content: Any) -> str:
    """Format a record's value or failure, shortened to a readable length."""
    part = content.get("value", content.get("failure"))
    text = clean_line(json.dumps(part, ensure_ascii=False))
    return text if len(text) <= MAX_CHARACTERS else f"{text[:MAX_CHARACTERS]} … ({len(text):,} characters)"
