"""Write datasets with their contexts in the formats of other projects, for `ita data export`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from ita_pipeline.corpus.datasets import Dataset
from ita_pipeline.corpus.formats.kbner import ExportForm, escape_word, format_contexted_tweets
from ita_pipeline.corpus.posts import PostWithContexts


def write_export(
    folder: Path, name: str, splits: Mapping[str, Sequence[PostWithContexts]], form: ExportForm
) -> list[Path]:
    """Write the files of each split. Returns their paths."""
    files: dict[Path, str] = {}
    for split, pairs in splits.items():
        file, with_contexts = f"{split}.txt", format_contexted_tweets(pairs, form.mark)
        if form is ExportForm.ADASEQ:
            files[folder / file] = with_contexts
        else:
            files[folder / name / file] = format_contexted_tweets([(post, ()) for post, _ in pairs], form.mark)
            files[folder / f"{name}_doc" / file] = with_contexts
            files[folder / "img" / file] = "".join(f"{post.image_id or ''}\n" for post, _ in pairs)
    for path, text in files.items():
        path.parent.mkdir(exist_ok=True)
        path.write_text(text, "utf-8")
    return list(files)


def describe_changes(dataset: Dataset, splits: Mapping[str, Sequence[PostWithContexts]]) -> Iterator[str]:
    """Notes about posts that are left out, written differently, or have no context."""
    pairs = [pair for split in splits.values() for pair in split]
    left_out = len(dataset.posts) - len(pairs)
    unlabeled = sum(post.gold is None for post, _ in pairs)
    escaped = sum(word != escape_word(word) for post, _ in pairs for word in post.words)
    without_context = sum(not contexts for _, contexts in pairs)
    if left_out:
        yield f"{left_out} posts have no word and are left out"
    if unlabeled:
        yield f"{unlabeled} posts have no labels; each of their words is written as O, since the readers want a tag"
    if escaped:
        yield f"{escaped} words hold white space or are <EOS>; they are written with _ or as EOS"
    if without_context:
        yield f"{without_context} of {len(pairs)} posts have no context"
