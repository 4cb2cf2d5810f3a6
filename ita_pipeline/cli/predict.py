"""`ita predict`: mentions in new posts, from the command line, a file or a pipe."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from ita_pipeline.cli.console import print_message, print_note, resumable
from ita_pipeline.cli.option_groups import CacheLocation, Cluster, Sending, build_options, expand_groups
from ita_pipeline.core.errors import ExitCode, UsageError
from ita_pipeline.core.text import clean_line, clean_path

if TYPE_CHECKING:
    from ita_pipeline import Post
    from ita_pipeline.api.predict import Prediction


@expand_groups
def predict(
    run: Annotated[str, typer.Argument(help="A run's folder, or a dataset's name if it has one run.")],
    file: Annotated[
        Path | None, typer.Argument(help="A JSONL or CoNLL file of posts; labels are not needed.")
    ] = None,
    text: Annotated[str | None, typer.Option(help="One post, given here.")] = None,
    image: Annotated[Path | None, typer.Option(help="The picture of that post.")] = None,
    jsonl: Annotated[
        Path | None, typer.Option(help="JSON lines of posts: a file, or - for standard input.")
    ] = None,
    source: Annotated[
        str | None, typer.Option(help="A dataset: a folder as the library datasets saves it, or a name on its hub.")
    ] = None,
    to: Annotated[
        Path | None, typer.Option(help="Of --source: write it, with the mentions in it, to this new folder.")
    ] = None,
    parts: Annotated[
        Path | None,
        typer.Option(metavar="FOLDER", help="Write part files there, bit by bit; the same command again goes on."),
    ] = None,
    form: Annotated[Literal["jsonl", "parquet"], typer.Option("--format", help="Of --parts.")] = "jsonl",
    min_confidence: Annotated[float, typer.Option(help="Leave out mentions less probable than this.")] = 0.0,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object a post.")] = False,
    *,
    location: CacheLocation,
    sending: Sending,
    cluster: Cluster,
) -> None:
    """Find the mentions in posts, with or without their pictures.

    ita predict example --text "Lunch in Marlow" --image sign.jpg

    ita predict example posts.jsonl --json

    cat posts.jsonl | ita predict example --jsonl - --json

    ita predict example --source saved-dataset/ --to with-mentions/ --min-confidence 0.5

    ita predict example many.jsonl --parts mentions/ --engine ray --actors 8
    """
    import ita_pipeline as ita
    from ita_pipeline.api.predict import PartFormat, save_predictions
    from ita_pipeline.core.files import refuse_existing

    if to is not None:
        if source is None:
            raise UsageError("--to belongs to --source", "for other posts: ita predict RUN FILE --json > FILE")
        if parts is not None:
            raise UsageError("--to and --parts are two ways of writing the same", "give one of them")
        refuse_existing(to)
    options = build_options(location, sending, cluster)
    if parts is None and options.ray is not None:
        raise UsageError("--engine ray writes to part files", "ita predict RUN … --engine ray --parts FOLDER")
    if parts is not None:
        with resumable() as display, _open_posts(file, text, image, jsonl, source) as posts:
            part_format = PartFormat(form)
            counts = ita.predict_parts(
                run, posts, parts, options, display, min_confidence, part_format, _print_failure
            )
        print_note(f"{counts.now} posts are answered in {clean_path(parts)}, and {counts.before} were before")
        if counts.failed:
            raise typer.Exit(ExitCode.NOT_CLEAN)
        return
    failed = 0
    predictions: list[Prediction] = []
    with resumable() as display, _open_posts(file, text, image, jsonl, source) as posts:
        for prediction in ita.predict(run, posts, options, display, min_confidence):
            if to is not None:
                predictions.append(prediction)
            else:
                print(json.dumps(prediction.to_json()) if as_json else _format_prediction(prediction), flush=True)
            if prediction.failed:
                failed += 1
                print_message(f"{prediction.post.id}: {clean_line(prediction.failed)}")
        if to is not None and source is not None:
            save_predictions(source, predictions, to)
            print_message(f"{len(predictions)} posts with their mentions are in {to}")
    if failed:
        raise typer.Exit(ExitCode.NOT_CLEAN)


def _print_failure(post: str, reason: str) -> None:
    print_message(f"{clean_line(post)}: {clean_line(reason)}")


@contextmanager
def _open_posts(
    file: Path | None, text: str | None, image: Path | None, jsonl: Path | None, source: str | None
) -> Iterator[Iterator[Post]]:
    """Open the source of posts that the command names.

    Raises:
        UsageError: the command names no source, several, or an image without its text.
    """
    from ita_pipeline.api.predict import make_post, posts_of_source, read_post_file, read_post_lines

    sources = {"FILE": file, "--text": text, "--jsonl": jsonl, "--source": source}
    names = [name for name, value in sources.items() if value is not None]
    if len(names) != 1:
        hint = 'ita predict RUN --text "…" [--image x.jpg], ita predict RUN FILE, or --jsonl -'
        raise UsageError(f"give one source of posts, not {' and '.join(names) or 'none'}", hint)
    if image is not None and text is None:
        raise UsageError("--image belongs to --text", 'name pictures in the file as "image": "x.jpg"')
    if source is not None:
        with posts_of_source(source) as posts:
            yield posts
    elif text is not None:
        yield iter([make_post(text, image)])
    elif jsonl is not None:
        yield read_post_lines(jsonl, sys.stdin.buffer)
    else:
        yield read_post_file(file or Path(), sys.stdin.buffer)


def _format_prediction(prediction: Prediction) -> str:
    lines = [f"{clean_line(prediction.post.text)}  [{prediction.view}]"]
    for m in prediction.mentions:
        lines.append(f"  {m.start:>4}–{m.end:<4} {clean_line(m.type):<5} {m.score:.2f}  {clean_line(m.text)}")
    if not prediction.mentions:
        lines.append("  no mention")
    return "\n".join(lines)
