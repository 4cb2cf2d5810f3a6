"""`ita predict` and `ita evaluate`: the mentions that a run finds in new posts, and its scores on labeled ones."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Literal

import typer

import ita_pipeline as ita
from ita_pipeline import api
from ita_pipeline.cli import options as opts
from ita_pipeline.cli.console import print_message, print_note, resumable
from ita_pipeline.cli.extract import exit_unless_clean, print_outcome
from ita_pipeline.cli.train import grounding_table, score_table
from ita_pipeline.core.errors import ExitCode, UsageError
from ita_pipeline.core.text import clean_line, clean_path, format_count

# Explanations in the terminal leave out smaller moves of a probability, and further parts.
MIN_MOVE, MAX_MOVES = 0.01, 6


@opts.expand_groups
def predict(
    run: opts.RunName,
    file: Annotated[
        Path | None,
        typer.Argument(readable=False, help="Posts: JSONL, CoNLL, CSV, TSV or Parquet; needs no labels"),
    ] = None,
    text: Annotated[str | None, typer.Option(metavar="TEXT", help="Text of one post")] = None,
    image: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Picture of the post given with --text")
    ] = None,
    jsonl: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Posts as JSON lines; - reads standard input")
    ] = None,
    source: Annotated[
        str | None, typer.Option(metavar="NAME", help="Dataset of the hub, or folder saved by `datasets`")
    ] = None,
    text_column: opts.TextColumn = None,
    image_column: opts.ImageColumn = None,
    to: Annotated[
        Path | None,
        typer.Option(metavar="FOLDER", help="Save the dataset of --source with its mentions in a new folder"),
    ] = None,
    parts: Annotated[
        Path | None,
        typer.Option(metavar="FOLDER", help="Write part files to a folder; run again to resume"),
    ] = None,
    form: Annotated[
        Literal["jsonl", "parquet"], typer.Option("--format", help="Format of the part files")
    ] = "jsonl",
    min_confidence: Annotated[
        float, typer.Option(metavar="P", help="Omit mentions with a lower probability", show_default=False)
    ] = 0.0,
    explain: Annotated[
        bool, typer.Option("--explain", help="Also tag each post without each part of its contexts")
    ] = False,
    runtime: opts.Runtime = "auto",
    html: Annotated[
        Path | None, typer.Option(metavar="FILE", help="HTML page to write, least certain posts first")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object per post")] = False,
    *,
    location: opts.CacheLocation,
    sending: opts.Sending,
    cluster: opts.Cluster,
) -> None:
    """Find the mentions in posts, with or without their pictures.

    ita predict example --text "Lunch in Marlow" --image sign.jpg

    ita predict example posts.jsonl --json

    ita predict example --text "Lunch in Marlow" --image sign.jpg --explain

    ita predict example posts.csv --text-column body --image-column photo

    ita predict example posts.jsonl --html predictions.html

    cat posts.jsonl | ita predict example --jsonl - --json

    ita predict example --source saved-dataset/ --to with-mentions/ --min-confidence 0.5

    ita predict example many.jsonl --parts mentions/ --engine ray --actors 8
    """
    from ita_pipeline.core.files import refuse_existing

    if to is not None:
        if source is None:
            raise UsageError("--to requires --source", "for other posts: ita predict RUN FILE --json > FILE")
        if parts is not None:
            raise UsageError("--to and --parts cannot be combined", "use one of them")
        refuse_existing(to)
    if html is not None and (to is not None or parts is not None or as_json):
        raise UsageError("--html cannot be combined with --to, --parts or --json", "run the command twice")
    if explain and (to is not None or parts is not None):
        raise UsageError("--explain prints, and does not write to a folder", "leave out --to and --parts")
    options = opts.build_options(location, sending, ray=cluster.ray_pool(), runtime=runtime)
    if parts is None and options.ray is not None:
        raise UsageError("--engine ray requires --parts", "ita predict RUN … --engine ray --parts FOLDER")
    columns = (text_column, image_column)
    with resumable() as display, _open_posts(file, text, image, jsonl, source, columns) as posts:
        if parts is not None:
            part_format = api.predict.PartFormat(form)
            counts = ita.predict_parts(
                run, posts, parts, options, display, min_confidence, part_format, _print_failure
            )
            failed = counts.failed
            posts = format_count(counts.now, "post")
            print_note(f"predicted {posts} in {clean_path(parts)} ({counts.before} predicted before)")
        elif html is not None:
            page = ita.ReportOptions(workspace=options.workspace, explain=explain)
            failed = _write_page(ita.predict_page(run, posts, html, options, display, min_confidence, page))
        elif explain:
            failed = _print_explanations(ita.explain(run, posts, options, display, min_confidence), as_json)
        else:
            predictions = ita.predict(run, posts, options, display, min_confidence)
            failed = _write_predictions(predictions, source, to, as_json)
    if failed:
        raise typer.Exit(ExitCode.NOT_CLEAN)


def _write_predictions(
    predictions: Iterator[api.predict.Prediction], source: str | None, to: Path | None, as_json: bool
) -> int:
    """Print predictions as they come, or save them all for `--to`; return how many have incomplete contexts."""
    failed = 0
    saved: list[api.predict.Prediction] = []
    for prediction in predictions:
        if to is not None:
            saved.append(prediction)
        else:
            print(json.dumps(prediction.to_json()) if as_json else _format_prediction(prediction), flush=True)
        if prediction.failed:
            failed += 1
            _print_failure(prediction.post.id, prediction.failed)
    if to is not None and source is not None:
        api.predict.save_predictions(source, saved, to)
        print_message(f"wrote {format_count(len(saved), 'post')} with their mentions to {clean_path(to)}")
    return failed


def _write_page(report: api.predict.PredictionReport) -> int:
    """Print where a page is; return how many posts have incomplete contexts."""
    for post, reason in report.failed.items():
        _print_failure(post, reason)
    print(f"page      {clean_path(report.page)}, {format_count(report.shown, 'post')}")
    if report.pictures is not None:
        print(f"pictures  {clean_path(report.pictures)}, to be kept beside it")
    return len(report.failed)


def _print_explanations(explanations: Iterator[api.predict.Explanation], as_json: bool) -> int:
    """Print explanations as they come; return how many posts have incomplete contexts."""
    failed = 0
    for explanation in explanations:
        print(json.dumps(explanation.to_json()) if as_json else format_explanation(explanation), flush=True)
        if explanation.prediction.failed:
            failed += 1
            _print_failure(explanation.prediction.post.id, explanation.prediction.failed)
    return failed


def _print_failure(post: str, reason: str) -> None:
    print_message(f"{post}: {reason}")


@contextmanager
def _open_posts(
    file: Path | None,
    text: str | None,
    image: Path | None,
    jsonl: Path | None,
    source: str | None,
    columns: tuple[str | None, str | None],
) -> Iterator[Iterator[ita.Post]]:
    """Open the source of posts that the command names.

    Raises:
        UserError: the command names no source, several, or an image without its text, or a file does not exist.
    """
    sources = {"FILE": file, "--text": text, "--jsonl": jsonl, "--source": source}
    names = [name for name, value in sources.items() if value is not None]
    if image is not None and text is None:
        raise UsageError("--image requires --text", 'name pictures in the file as "image": "x.jpg"')
    if len(names) != 1:
        hint = 'ita predict RUN --text "…" [--image x.jpg], ita predict RUN FILE, or --jsonl -'
        raise UsageError(f"give one source of posts, not {' and '.join(names) or 'none'}", hint)
    if file is not None and api.predict.is_table(file, columns[0]):
        source = str(file)
    if source is not None:
        with api.predict.posts_of_source(source, *columns) as posts:
            yield posts
    elif any(columns):
        what = "--text-column and --image-column require a table"
        raise UsageError(what, "give a CSV, TSV or Parquet file, or --source")
    elif text is not None:
        yield iter([ita.Post.from_text(text, image)])
    else:
        yield api.predict.read_posts(jsonl or file or Path(), sys.stdin.buffer, as_lines=jsonl is not None)


def _format_prediction(prediction: api.predict.Prediction) -> str:
    lines = [_format_post(prediction), *map(_format_mention, prediction.mentions)]
    return "\n".join(lines if prediction.mentions else [*lines, "  no mentions"])


def _format_post(prediction: api.predict.Prediction) -> str:
    return f"{clean_line(prediction.post.text)}  [{prediction.view}]"


def _format_mention(m: api.predict.Mention) -> str:
    lines = [f"  {m.start:>4}–{m.end:<4} {clean_line(m.type):<5} {m.score:.2f}  {clean_line(m.text)}"]
    for box in m.boxes or ():
        corners = ", ".join(f"{side:.0f}" for side in box)
        lines.append(f"{'':12} [{corners}], {clean_line(m.why or '')}, {m.visible:.2f}")
    return "\n".join(lines)


def format_explanation(explanation: api.predict.Explanation) -> str:
    """Format a prediction; below each mention how its probability moves without each part of the contexts.

    Mentions that are only found without some part come last, with their probability with all contexts.
    """
    found = explanation.prediction.mentions
    lines = [_format_post(explanation.prediction)]
    for index, mention in enumerate(explanation.mentions):
        lines.append(_format_mention(mention) + ("" if mention in found else "  (not found)"))
        if mention.boxes == ():
            lines.append(f"{'':12} no box: {clean_line(mention.why or '')}, {mention.visible:.2f}")
        moves = [(part.scores[index] - mention.score, part) for part in explanation.without]
        shown = [(move, part) for move, part in moves if abs(move) >= MIN_MOVE or not part.context]
        # All contexts together come first, and then the parts that move the probability most.
        shown.sort(key=lambda entry: (bool(entry[1].context), -abs(entry[0])))
        for move, part in shown[:MAX_MOVES]:
            percent = f"{100 * mention.score:.0f} % → {100 * (mention.score + move):.0f} %"
            lines.append(f"{'':13}{percent:>13}  without {_name_part(part)}")
        if len(shown) > MAX_MOVES:
            lines.append(f"{'':28}and {format_count(len(shown) - MAX_MOVES, 'part')} more (--json has all)")
    return "\n".join(lines if explanation.mentions else [*lines, "  no mentions"])


def _name_part(part: api.predict.SwitchOff) -> str:
    if not part.context:
        return "any context"
    return f"*{clean_line(part.text)}* ({part.context})" if part.text else f"the context {part.context}"


@opts.expand_groups
def evaluate(
    run: opts.RunName,
    dataset: Annotated[str, typer.Argument(help="Labeled dataset: name, card file, or folder")],
    split: Annotated[
        list[str] | None, typer.Option(metavar="NAME", help="Split to score; repeatable (default: test)")
    ] = None,
    data: opts.DatasetFolder = None,
    captions: opts.Captions = "auto",
    runtime: opts.Runtime = "auto",
    *,
    location: opts.CacheLocation,
    sending: opts.Sending,
    as_json: opts.AsJson = False,
) -> None:
    """Score a run on labeled posts in both views, after running the stages on stale pictures only.

    ita evaluate twitter15 twitter17 --data twitter2017/

    ita evaluate runs/mine/0123456789abcdef corrected-posts/ --split dev --split test
    """
    options = opts.build_options(location, sending, runtime=runtime)
    with resumable() as display:
        evaluation = ita.evaluate(run, dataset, tuple(split or ("test",)), options, display, data, captions)
    print_outcome(evaluation.extraction)
    if evaluation.foreign:
        types = ", ".join(evaluation.foreign)
        print_message(f"the run was not trained on {types}: such mentions count as missed")
    boxes = f"\n\n{grounding_table(evaluation.grounding)}" if evaluation.grounding else ""
    print(json.dumps(evaluation.to_json()) if as_json else f"{score_table(evaluation.scores)}{boxes}")
    exit_unless_clean(evaluation.extraction)
