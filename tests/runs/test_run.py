"""Tests of run folders: what the key depends on, and how its files are read."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from ita_pipeline.cache.keys import digest
from ita_pipeline.core.errors import UsageError
from ita_pipeline.corpus.contexts import ReservedContext
from ita_pipeline.corpus.posts import Picture, Post, Span
from ita_pipeline.ner.config import TrainingConfig
from ita_pipeline.ner.metrics.scores import score
from ita_pipeline.ner.subtokens import SubTokenizer
from ita_pipeline.ner.views import ViewEncoder
from ita_pipeline.runs.run import RunScores, ViewScores, run_at, run_components
from tests.support.tiny_encoder import build_bert

POST = Post("1", "hi Ada", ("hi", "Ada"), ((0, 2), (3, 6)), (Span(1, 2, "PER"),), (Picture("a.jpg"),))
CONFIG = TrainingConfig()


def key(
    post: Post = POST,
    texts: tuple[str, ...] = ("a face",),
    config: TrainingConfig = CONFIG,
    encoder: str = "e",
) -> str:
    return digest(run_components({"train": [(post, texts)]}, config, encoder, ["PER"]))


def test_the_key_depends_on_all_training_inputs():
    changed = [
        key(texts=("a road",)),
        key(texts=()),
        key(post=Post("1", "hi Bob", ("hi", "Bob"), POST.offsets, gold=POST.gold)),
        key(post=Post("1", "hi Ada", POST.words, POST.offsets, gold=())),
        key(config=CONFIG.model_copy(update={"seed": 2})),
        key(encoder="f"),
    ]
    assert len({key(), *changed}) == len(changed) + 1


def test_the_key_does_not_depend_on_the_path_of_an_image():
    moved = Post("1", POST.text, POST.words, POST.offsets, gold=POST.gold, pictures=(Picture("x/b.jpg"),))
    assert key(post=moved) == key()


def test_scores_survive_a_round_trip():
    both_views = ViewScores(text=score([[Span(0, 1, "PER")]], [[]]), text_and_image=score([[]], [[]]))
    scores = RunScores(splits={"dev": both_views, "test": both_views})
    content = json.loads(scores.to_json())
    assert content["schema"] == "ita.scores/1"
    assert set(content["test"]) == {"text", "text+image"}
    assert set(content["test"]["text"]["micro"]) == {"precision", "recall", "f1", "support"}
    assert RunScores.from_json(scores.to_json()) == scores


def test_a_damaged_record_is_reported():
    run = run_at(Path("runs"), "mine", "a" * 64)
    run.folder.mkdir(parents=True)
    (run.folder / "run.json").write_text("{}")
    with pytest.raises(UsageError, match=r"run\.json is not a valid file of a run"):
        run.record()


@pytest.mark.parametrize(
    "mention", ['"score": NaN', '"score": 1e999', '"boxes": [[0, 0, NaN, 1]]', '"visible": -Infinity']
)
def test_numbers_of_predictions_that_no_page_can_show_are_refused(mention: str):
    run = run_at(Path("runs"), "mine", "a" * 64)
    file = run.mentions("test", "text")
    file.parent.mkdir(parents=True)
    file.write_text(f'{{"mentions": [{{"start": 0, {mention}}}]}}')
    with pytest.raises(UsageError, match=rf"{file.name} is not a valid file of a run"):
        run.prediction_lines("test", "text")


@pytest.mark.parametrize("content", ["[]", "1", "null", "[" * 100_000, '{"a":' * 100_000])
def test_scores_of_any_other_form_are_one_sentence(content: str):
    run = run_at(Path("runs"), "mine", "a" * 64)
    run.folder.mkdir(parents=True)
    run.scores_file.write_text(content)
    with pytest.raises(UsageError, match=r"scores\.json is not a valid file of a run"):
        run.scores()


def test_the_reserved_length_of_a_context_is_part_of_the_key(tmp_path: Path) -> None:
    from tests.support.tiny_encoder import load

    _, tokenizer = load(build_bert(tmp_path / "bert"))
    encoder = ViewEncoder(SubTokenizer.of(tokenizer), 20)
    view = encoder.encode(["ab"], ["cdefgh" * 3, ReservedContext("xyz", 4)])
    assert view.rows[0][-4:] == (*encoder.encode_context("xyz")[0], encoder.separator)
    assert len(view.rows[0]) == 20
    assert view.trimmed > 0
    post = Post("1", "ab", ("ab",), ((0, 2),), ())

    def key(text: str) -> object:
        return run_components({"train": [(post, (text,))]}, TrainingConfig(), "", ())["contexts"]

    assert key("x") != key(ReservedContext("x", 4)) != key(ReservedContext("x", 5))
