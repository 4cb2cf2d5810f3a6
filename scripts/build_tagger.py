"""Train a tagger for tweets of any kind on the Broad Twitter Corpus and WNUT-17, whose licenses allow to share it.

    OMP_NUM_THREADS=1 python scripts/build_tagger.py CORPORA WORK

CORPORA contains `btc/` (a.conll to h.conll) and `wnut17/` (wnut17train.conll, emerging.dev.conll,
emerging.test.annotated). Neither is part of the repository; both are under CC BY 4.0. The run is written to the
workspace WORK; `python -m benchmarks.tweet_tagger` measures it.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import ita_pipeline as ita
from ita_pipeline.corpus.formats.conll import format_conll, read_conll
from ita_pipeline.corpus.posts import Post, Span
from ita_pipeline.runs.run import Run

# WNUT-17's types. Other types are not kept.
TYPES = {"person": "PER", "location": "LOC", "corporation": "ORG", "group": "ORG"}

KEPT = ("PER", "LOC", "ORG")

BTC_TRAIN, BTC_DEV, BTC_TEST = ("a", "b", "e", "g"), "h", "f"

WNUT_TRAIN = ("wnut17train.conll", "emerging.dev.conll", "emerging.test.annotated")

EPOCHS = 2

# Words whose first character the Broad Twitter Corpus stores as a word of its own.
_MARKED = {"@": re.compile(r"\w+", re.ASCII), "#": re.compile(r"\w+")}


def join_marks(post: Post) -> Post:
    """Join `@` and `#` with the word that follows, as tweets are written; a user handle is no mention.

    A hashtag keeps the mention that its word begins or continues.
    """
    gold = {position: span for span in post.gold or () for position in range(span.start, span.end)}
    words: list[str] = []
    tags: list[Span | None] = []
    position = 0
    while position < len(post.words):
        word, span = post.words[position], gold.get(position)
        follower = post.words[position + 1] if position + 1 < len(post.words) else ""
        if word in _MARKED and _MARKED[word].fullmatch(follower):
            next_span = gold.get(position + 1)
            # `@ Parl House` says where someone is: the sign is outside the mention, and followed by a place.
            is_place = word == "@" and span is None and next_span is not None and next_span.type == "LOC"
            if not is_place:
                words.append(word + follower)
                tags.append(next_span if word == "#" else None)
                position += 2
                continue
        words.append(word)
        tags.append(None if word.startswith("@") else span)
        position += 1
    return Post.from_words(post.id, tuple(words), tuple(_collect_spans(tags)))


def _collect_spans(tags: Sequence[Span | None]) -> Iterator[Span]:
    """Yield a mention for each run of words that belonged to the same mention."""
    start = 0
    for position in range(1, len(tags) + 1):
        if position == len(tags) or tags[position] is not tags[start]:
            span = tags[start]
            if span is not None and span.type in KEPT:
                yield Span(start, position, span.type)
            start = position


def normalize(post: Post) -> str:
    """Reduce a post to the letters and digits by which copies of it are found."""
    return "".join(re.findall(r"\w", post.text.casefold()))


def drop_copies(posts: Iterable[Post], others: Iterable[Post]) -> list[Post]:
    """Drop posts without words, and those whose text stands in `others` or earlier in `posts`."""
    seen = {normalize(other) for other in others}
    kept: list[Post] = []
    for post in posts:
        text = normalize(post)
        if text and text not in seen:
            seen.add(text)
            kept.append(post)
    return kept


def prepare(corpora: Path, held_out: Sequence[Post] = ()) -> dict[str, list[Post]]:
    """Read both corpora, and divide them as their publishers do: section F is test, half of H is dev.

    No text of `held_out` or of a later split stands in an earlier one.
    """

    def read(path: Path) -> list[Post]:
        return [join_marks(post) for post in read_conll(path, TYPES)]

    btc = {name: read(corpora / "btc" / f"{name}.conll") for name in (*BTC_TRAIN, BTC_DEV, BTC_TEST)}
    half = len(btc[BTC_DEV]) // 2
    test = drop_copies(btc[BTC_TEST], ())
    dev = drop_copies(btc[BTC_DEV][half:], [*test, *held_out])
    wnut = [post for name in WNUT_TRAIN for post in read(corpora / "wnut17" / name)]
    train = [post for name in BTC_TRAIN for post in btc[name]] + btc[BTC_DEV][:half] + wnut
    return {"train": drop_copies(train, [*test, *dev, *held_out]), "dev": dev, "test": test}


def write_dataset(splits: dict[str, list[Post]], folder: Path) -> None:
    """Write the splits as CoNLL files, which are a dataset for `ita train`."""
    folder.mkdir(parents=True, exist_ok=True)
    for split, posts in splits.items():
        text = format_conll((replace(post, gold=None), post.gold or ()) for post in posts)
        (folder / f"{split}.txt").write_text(text, "utf-8")


def train(dataset: Path, workspace: Path) -> Run:
    """Train the tagger on text alone, as the corpora have no pictures."""
    options = ita.Options(preset="bundled", workspace=workspace, assignments=(f"training.epochs={EPOCHS}",))
    return ita.train(str(dataset), options, ita.TrainOptions(contexts=(), objective="none")).run


def main() -> None:
    """Prepare the corpora, and train on them."""
    corpora, work = map(Path, sys.argv[1:3])
    dataset = work / "tweets"
    write_dataset(prepare(corpora), dataset)
    print(train(dataset, work).folder)


if __name__ == "__main__":
    main()
