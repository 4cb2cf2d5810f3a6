"""Datasets with their contexts in the forms of other projects: what `ita data export` does."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from ita_pipeline.corpus.datasets import Dataset
from ita_pipeline.corpus.formats.kbner import ExportForm, escape_word, format_contexted_tweets
from ita_pipeline.corpus.posts import Post

Rendered = tuple[Post, tuple[str, ...]]


def write_export(folder: Path, name: str, splits: Mapping[str, Sequence[Rendered]], form: ExportForm) -> list[Path]:
    files: list[Path] = []

    def write(place: Path, text: str) -> None:
        place.parent.mkdir(exist_ok=True)
        place.write_text(text, "utf-8")
        files.append(place)

    for split, pairs in splits.items():
        if form is ExportForm.ADASEQ:
            write(folder / f"{split}.txt", format_contexted_tweets(pairs, form.mark))
            continue
        write(folder / name / f"{split}.txt", format_contexted_tweets([(post, ()) for post, _ in pairs], form.mark))
        write(folder / f"{name}_doc" / f"{split}.txt", format_contexted_tweets(pairs, form.mark))
        write(folder / "img" / f"{split}.txt", "".join(f"{post.image_id or ''}\n" for post, _ in pairs))
    return files


def describe_changes(dataset: Dataset, splits: Mapping[str, Sequence[Rendered]]) -> Iterator[str]:
    pairs = [pair for found in splits.values() for pair in found]
    left = len(dataset.posts) - len(pairs)
    bare = sum(post.gold is None for post, _ in pairs)
    changed = sum(word != escape_word(word) for post, _ in pairs for word in post.words)
    without = sum(not contexts for _, contexts in pairs)
    if left:
        yield f"{left} posts have no word and are left out"
    if bare:
        yield f"{bare} posts have no labels; each of their words is written as O, since the readers want a tag"
    if changed:
        yield f"{changed} words hold white space or are <EOS>; they are written with _ or as EOS"
    if without:
        yield f"{without} of {len(pairs)} posts have no context"
