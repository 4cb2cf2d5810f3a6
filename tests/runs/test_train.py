"""Training runs: datasets that cannot be trained on, and how often contexts are rendered."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from ita_pipeline.core.errors import UsageError
from ita_pipeline.corpus.datasets import Dataset, DatasetCard
from ita_pipeline.corpus.posts import Post, Span
from ita_pipeline.extraction import contexts
from ita_pipeline.runs.train import check_trainable, without_consent
from tests.support.fakes import draw, ita_here
from tests.support.tiny_encoder import build_bert

LABELLED = Post("1", "Ada", ("Ada",), ((0, 3),), gold=(Span(0, 1, "PER"),))
BARE = Post("2", "Ada", ("Ada",), ((0, 3),))
EMPTY = Post("3", "Ada", ("Ada",), ((0, 3),), gold=())


def dataset(**splits: tuple[Post, ...]) -> Dataset:
    card = DatasetCard(about="", files={"all": ["x"]})
    return Dataset("mine", card, Path(), splits, None, ())


@pytest.mark.parametrize(
    ("splits", "says"),
    [
        ({"train": (LABELLED,), "dev": (LABELLED,)}, "has no test posts"),
        ({"train": (), "dev": (LABELLED,), "test": (LABELLED,)}, "has no train posts"),
        ({"train": (LABELLED,), "dev": (BARE,), "test": (LABELLED,)}, "post 2 of dev is not labelled"),
        ({"train": (EMPTY,), "dev": (LABELLED,), "test": (LABELLED,)}, "no mention to learn from"),
    ],
)
def test_what_cannot_be_trained_on_is_said_before_anything_runs(splits: dict[str, tuple[Post, ...]], says: str):
    with pytest.raises(UsageError, match=says):
        check_trainable(dataset(**splits))


def test_a_labelled_dataset_is_fine():
    check_trainable(dataset(train=(LABELLED,), dev=(EMPTY,), test=(EMPTY,)))


def test_the_contexts_of_each_post_are_rendered_once(monkeypatch: pytest.MonkeyPatch):
    build_bert(Path("bert"))
    draw(Path("mine/a.png"), "red", (300, 200))
    lines = [
        {
            "text": f"hi kim {n}",
            "split": split,
            "image": "a.png",
            "mentions": [{"start": 3, "end": 6, "type": "PER"}],
        }
        for split in ("train", "dev", "test")
        for n in range(2)
    ]
    Path("mine/tweets.jsonl").write_text("\n".join(map(json.dumps, lines)))
    rendered: list[object] = []
    render = contexts.render

    def counting(*arguments: Any) -> tuple[str, ...]:
        rendered.append(arguments)
        return render(*arguments)

    monkeypatch.setattr(contexts, "render", counting)
    # The report renders the contexts of the posts that it shows.
    monkeypatch.setattr("ita_pipeline.api.train.report_run", lambda *_: None)
    settings = ("--preset", "bundled", "--encoder", "bert", "--contexts", "ocr", "--set", "training.epochs=1")
    answer = ita_here("train", "--dataset", "mine", *settings)
    assert answer.code == 0, answer.err
    assert len(rendered) == len(lines)


def test_a_run_keeps_no_consent() -> None:
    assert without_consent({"knowledge": {"consent": True, "model": "m"}}) == {"knowledge": {"model": "m"}}
