"""`ita extract`: a folder of pictures to captions, objects and words."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ita_pipeline.cli.console import Watcher, resumable, say, shown, table
from ita_pipeline.cli.options import Assignments, Preset, RetryFailed, WorkspaceFolder
from ita_pipeline.errors import ExitCode

if TYPE_CHECKING:
    from ita_pipeline.extraction import Extraction

MOST_NAMED = 20


def extract(
    images: Annotated[Path, typer.Argument(help="A folder of pictures; everything below it is read.")],
    preset: Preset = "auto",
    stage: Annotated[
        list[str] | None, typer.Option(help="Run only this stage, and those it reads. Repeatable.")
    ] = None,
    assignments: Assignments = None,
    workspace: WorkspaceFolder = Path(),
    retry_failed: RetryFailed = False,
) -> None:
    """Turn a folder of pictures into captions, object tags and OCR text, doing only what is stale.

    ita extract images/

    ita extract images/ --stage ocr --set ocr.languages=eng+deu
    """
    from ita_pipeline import pipeline

    options = pipeline.Options(preset, tuple(stage or ()), tuple(assignments or ()), workspace, retry_failed)
    with resumable():
        extraction = pipeline.extract(images, options, Watcher())
    print(outcome_table(extraction))
    copies = len(extraction.images) - len({image.key for image in extraction.images})
    if copies:
        say(f"{copies} of {len(extraction.images)} pictures are copies of others, which count once")
    tell_others(extraction.others)
    tell_failed(extraction)
    if not extraction.clean:
        raise typer.Exit(ExitCode.NOT_CLEAN)


def outcome_table(extraction: Extraction) -> str:
    rows = [
        [s.key.stage, str(s.fresh), str(s.done), str(len(s.failed)), f"{s.seconds:.1f}"] for s in extraction.stages
    ]
    return table(["stage", "fresh", "done now", "failed", "seconds"], rows)


def tell_others(others: tuple[Path, ...]) -> None:
    if not others:
        return
    kinds = Counter(path.suffix.lower() or "no suffix" for path in others)
    counts = ", ".join(f"{count} {kind}" for kind, count in kinds.most_common())
    names = ", ".join(shown(Path(path.name)) for path in others[:5]) + (", …" if len(others) > 5 else "")
    say(f"{len(others)} files are no pictures by their name ({counts}): {names}")


def tell_failed(extraction: Extraction) -> None:
    reasons = [(item.image.path, item.failure.reason) for item in extraction.failed]
    reasons += [(item.path, item.reason) for item in extraction.unreadable]
    if not reasons:
        return
    say(f"{len(reasons)} pictures could not be read:")
    for path, reason in reasons[:MOST_NAMED]:
        say(f"  {shown(path)}: {reason}")
    if len(reasons) > MOST_NAMED:
        say(f"  and {len(reasons) - MOST_NAMED} more")
    say("hint: replace or remove them; everything else is done, and --retry-failed tries them again")
