"""Datasets with their contexts in the forms of other projects: what `ita data export` does."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from ita_pipeline.consent import ask_consent
from ita_pipeline.corpus.datasets import Dataset, load_dataset
from ita_pipeline.corpus.late import Form, write_late, written_word
from ita_pipeline.corpus.posts import Post
from ita_pipeline.data import plan_known
from ita_pipeline.engines.isolation import Worker
from ita_pipeline.engines.local import LocalEngine
from ita_pipeline.extraction import Extraction
from ita_pipeline.folders import new_folder, refuse_existing
from ita_pipeline.options import Listener, Mute, Options
from ita_pipeline.picture_contexts import make_contexts
from ita_pipeline.training_plan import TrainOptions
from ita_pipeline.workspace import Workspace

Rendered = tuple[Post, tuple[str, ...]]


@dataclass(frozen=True, slots=True)
class Exported:
    """Where the files are, what was written otherwise than it was, and what was extracted for it."""

    files: tuple[Path, ...]
    notes: tuple[str, ...]
    extraction: Extraction


def export(
    name: str,
    to: Path,
    form: Form = Form.ITA,
    options: Options | None = None,
    training: TrainOptions | None = None,
    listener: Listener | None = None,
) -> Exported:
    """A dataset and its contexts for another project, after the pictures that are stale have been looked at.

    `ITA` writes two parallel folders, tweets alone in `<name>` and with contexts in `<name>_doc`, and the pictures'
    ids line by line in `img`, as KB-NER reads them. `ADASEQ` writes one folder with contexts.

    Raises:
        UserError: the dataset or a setting is missing or wrong, or `to` is there already.
        StageError: a model or tool is missing; what was computed before is kept.
    """
    options, training, heard = options or Options(), training or TrainOptions(), listener or Mute()
    refuse_existing(to)
    workspace = Workspace(options.workspace)
    dataset = load_dataset(name, training.data, workspace.data)
    plan = plan_known(dataset, options, training, heard.say)
    ask_consent(plan.plan, options.consent, heard)
    with Worker(options.limits) as hands:
        contexts = make_contexts(plan, workspace.store, LocalEngine(hands), heard)
    splits = {
        split: [(post, contexts.of(post)) for post in posts if post.words]
        for split, posts in dataset.splits.items()
    }
    with new_folder(to) as folder:
        files = write_form(folder, dataset.name, splits, form)
    places = tuple(to / file.relative_to(folder) for file in files)
    return Exported(places, tuple(told(dataset, splits)), contexts.extraction)


def write_form(folder: Path, name: str, splits: Mapping[str, Sequence[Rendered]], form: Form) -> list[Path]:
    files: list[Path] = []

    def write(place: Path, text: str) -> None:
        place.parent.mkdir(exist_ok=True)
        place.write_text(text, "utf-8")
        files.append(place)

    for split, pairs in splits.items():
        if form is Form.ADASEQ:
            write(folder / f"{split}.txt", write_late(pairs, form.mark))
            continue
        write(folder / name / f"{split}.txt", write_late([(post, ()) for post, _ in pairs], form.mark))
        write(folder / f"{name}_doc" / f"{split}.txt", write_late(pairs, form.mark))
        write(folder / "img" / f"{split}.txt", "".join(f"{post.image_id or ''}\n" for post, _ in pairs))
    return files


def told(dataset: Dataset, splits: Mapping[str, Sequence[Rendered]]) -> Iterator[str]:
    pairs = [pair for found in splits.values() for pair in found]
    left = len(dataset.posts) - len(pairs)
    bare = sum(post.gold is None for post, _ in pairs)
    changed = sum(word != written_word(word) for post, _ in pairs for word in post.words)
    without = sum(not contexts for _, contexts in pairs)
    if left:
        yield f"{left} posts have no word and are left out"
    if bare:
        yield f"{bare} posts have no labels; each of their words is written as O, since the readers want a tag"
    if changed:
        yield f"{changed} words hold white space or are <EOS>; they are written with _ or as EOS"
    if without:
        yield f"{without} of {len(pairs)} posts have no context"
