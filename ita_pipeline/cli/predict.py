"""`ita predict`: mentions in new posts, from the command line, a file or a pipe."""

from __future__ import annotations

import io
import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, BinaryIO

import typer

from ita_pipeline.cli.console import ProgressDisplay, confirm, note, resumable, say, shown
from ita_pipeline.cli.options import (
    Actors,
    Address,
    Engine,
    EngineChoice,
    Gpus,
    MaxRequests,
    MaxTokens,
    Shared,
    WorkspaceFolder,
    Yes,
    base_settings,
    budget,
    ray_pool,
)
from ita_pipeline.core.errors import ExitCode, MissingError, UsageError
from ita_pipeline.core.text import clean_line

if TYPE_CHECKING:
    from ita_pipeline.corpus.posts import Post
    from ita_pipeline.runs.predictions import Prediction


class PartForm(StrEnum):
    """How parts are written, on the command line."""

    JSONL = "jsonl"
    PARQUET = "parquet"


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
    form: Annotated[PartForm, typer.Option("--format", help="Of --parts.")] = PartForm.JSONL,
    min_confidence: Annotated[float, typer.Option(help="Leave out mentions less probable than this.")] = 0.0,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object a post.")] = False,
    workspace: WorkspaceFolder = Path(),
    shared: Shared = "",
    max_requests: MaxRequests = None,
    max_tokens: MaxTokens = None,
    yes: Yes = False,
    engine: Engine = EngineChoice.LOCAL,
    actors: Actors = None,
    num_gpus: Gpus = None,
    address: Address = None,
) -> None:
    """Find the mentions in posts, with or without their pictures.

    ita predict example --text "Lunch in Marlow" --image sign.jpg

    ita predict example posts.jsonl --json

    cat posts.jsonl | ita predict example --jsonl - --json

    ita predict example --source saved-dataset/ --to with-mentions/ --min-confidence 0.5

    ita predict example many.jsonl --parts mentions/ --engine ray --actors 8
    """
    import ita_pipeline as ita
    from ita_pipeline.core.files import refuse_existing
    from ita_pipeline.runs.part_files import PartFormat
    from ita_pipeline.runs.predictions import save_predictions

    if to is not None:
        if source is None:
            raise UsageError("--to belongs to --source", "for other posts: ita predict RUN FILE --json > FILE")
        if parts is not None:
            raise UsageError("--to and --parts are two ways of writing the same", "give one of them")
        refuse_existing(to)
    ray = ray_pool(engine, actors, num_gpus, address)
    if parts is None and ray is not None:
        raise UsageError("--engine ray writes to part files", "ita predict RUN … --engine ray --parts FOLDER")
    options = ita.Options(
        workspace=workspace,
        shared=shared,
        base=base_settings(),
        assignments=budget(max_requests, max_tokens),
        consent=yes,
        confirm=confirm,
        ray=ray,
    )
    if parts is not None:
        with resumable(display := ProgressDisplay()), posts_asked_for(file, text, image, jsonl, source) as posts:
            found = ita.predict_parts(
                run, posts, parts, options, display, min_confidence, PartFormat(form.value), tell_failed
            )
        note(f"{found.now} posts are answered in {shown(parts)}, and {found.before} were before")
        if found.failed:
            raise typer.Exit(ExitCode.NOT_CLEAN)
        return
    failed, kept = 0, []
    display = ProgressDisplay()
    with resumable(display), posts_asked_for(file, text, image, jsonl, source) as posts:
        for prediction in ita.predict(run, posts, options, display, min_confidence):
            if to is not None:
                kept.append(prediction)
            else:
                print(json.dumps(prediction.to_json()) if as_json else readable(prediction), flush=True)
            if prediction.failed:
                failed += 1
                say(f"{prediction.post.id}: {clean_line(prediction.failed)}")
        if to is not None and source is not None:
            save_predictions(source, kept, to)
            say(f"{len(kept)} posts with their mentions are in {to}")
    if failed:
        raise typer.Exit(ExitCode.NOT_CLEAN)


def tell_failed(post: str, reason: str) -> None:
    say(f"{clean_line(post)}: {clean_line(reason)}")


@contextmanager
def posts_asked_for(
    file: Path | None, text: str | None, image: Path | None, jsonl: Path | None, source: str | None
) -> Iterator[Iterator[Post]]:
    """The posts of whichever source was given.

    Raises:
        UsageError: none was, or several, or a picture without its text.
    """
    sources = (("FILE", file), ("--text", text), ("--jsonl", jsonl), ("--source", source))
    given = [name for name, value in sources if value is not None]
    if len(given) != 1:
        raise UsageError(
            f"give one source of posts, not {' and '.join(given) or 'none'}",
            'ita predict RUN --text "…" [--image x.jpg], ita predict RUN FILE, or --jsonl -',
        )
    if image is not None and text is None:
        raise UsageError("--image belongs to --text", 'name pictures in the file as "image": "x.jpg"')
    if source is not None:
        from ita_pipeline.corpus.formats.hf_datasets import posts_of_source

        with posts_of_source(source) as posts:
            yield posts
    elif text is not None:
        yield iter([typed_post(text, image)])
    else:
        yield posts_of_jsonl(jsonl) if jsonl is not None else posts_of_file(file or Path())


def typed_post(text: str, image: Path | None) -> Post:
    from ita_pipeline.corpus.posts import Post

    if image is not None and not image.is_file():
        raise MissingError(f"there is no picture {image}", "check --image")
    return Post.from_text(text, image)


def posts_of_file(path: Path) -> Iterator[Post]:
    """Posts of a file in the format that its suffix stands for."""
    from ita_pipeline.corpus.formats import find_format, parse_posts

    if find_format(path) == "jsonl":
        return posts_of_jsonl(path)
    return (parsed.post for parsed in parse_posts(path))


def posts_of_jsonl(path: Path) -> Iterator[Post]:
    """Posts one by one, as their lines come; pictures are looked for beside the file, or here for a pipe."""
    from ita_pipeline.corpus.formats.jsonl import parse_lines

    def found(lines: BinaryIO, where: str, folder: Path) -> Iterator[Post]:
        with io.TextIOWrapper(lines, encoding="utf-8-sig", errors="strict") as text:
            yield from (parsed.post for parsed in parse_lines(text, where, folder, {}))

    if str(path) == "-":
        return found(sys.stdin.buffer, "standard input", Path())
    try:
        return found(path.open("rb"), str(path), path.parent)
    except OSError as error:
        raise MissingError(f"{path} cannot be read: {error.strerror}", "give a file of posts, or -") from error


def readable(prediction: Prediction) -> str:
    lines = [f"{clean_line(prediction.post.text)}  [{prediction.view}]"]
    for m in prediction.mentions:
        lines.append(f"  {m.start:>4}–{m.end:<4} {clean_line(m.type):<5} {m.score:.2f}  {clean_line(m.text)}")
    if not prediction.mentions:
        lines.append("  no mention")
    return "\n".join(lines)
