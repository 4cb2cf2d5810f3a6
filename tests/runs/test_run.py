"""Tests of run folders: what the key depends on, and how finished runs are found."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from ita_pipeline.cache.keys import digest
from ita_pipeline.core.errors import MissingError, UsageError
from ita_pipeline.corpus.contexts import ReservedContext
from ita_pipeline.corpus.posts import Picture, Post, Span
from ita_pipeline.ner.config import TrainingConfig
from ita_pipeline.ner.metrics.scores import score
from ita_pipeline.ner.views import ViewEncoder
from ita_pipeline.runs.run import RunScores, ViewScores, find_run, run_at, run_components
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


def finished(name: str) -> Path:
    run = run_at(Path("runs"), "mine", name)
    run.folder.mkdir(parents=True)
    (run.folder / "run.json").write_text("{}")
    run.finish(RunScores(splits={}))
    return run.folder


def test_a_run_is_found_by_its_folder_its_name_or_its_dataset():
    folder = finished("a" * 64)
    for name in (folder, f"mine/{'a' * 16}", "mine"):
        assert find_run(name, Path("runs")).folder == folder
    finished("b" * 64)
    with pytest.raises(UsageError, match="mine has 2 runs"):
        find_run("mine", Path("runs"))


def test_an_unfinished_run_is_not_found():
    folder = finished("a" * 64)
    (folder / "scores.json").unlink()
    with pytest.raises(MissingError, match="never finished"):
        find_run(folder, Path("runs"))
    with pytest.raises(MissingError, match="there is no run mine"):
        find_run("mine", Path("runs"))


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("mien", "did you mean mine?"),
        ("mine/aaaa", f"did you mean mine/{'a' * 16}?"),
        ("runs/mine/aaaa", f"did you mean mine/{'a' * 16}?"),
        ("mien/" + "a" * 16, f"did you mean mine/{'a' * 16}?"),
        ("mien/a", "did you mean mine?"),
        ("mine/ffff", "ls runs/mine lists its runs"),
        ("nothing like it", "ita train --dataset example makes one"),
    ],
)
def test_the_hint_for_a_missing_run_is_the_nearest_one(name: str, hint: str):
    finished("a" * 64)
    finished("b" * 64)
    with pytest.raises(MissingError, match="there is no run") as caught:
        find_run(name, Path("runs"))
    assert caught.value.hint == hint


def test_a_damaged_record_is_reported():
    folder = finished("a" * 64)
    with pytest.raises(UsageError, match=r"run\.json is not what a run writes"):
        find_run(folder, Path("runs")).record()


def test_the_reserved_length_of_a_context_is_part_of_the_key(tmp_path: Path) -> None:
    from tests.support.tiny_encoder import load

    _, tokenizer = load(build_bert(tmp_path / "bert"))
    encoder = ViewEncoder(tokenizer, 20)
    view = encoder.encode(["ab"], ["cdefgh" * 3, ReservedContext("xyz", 4)])
    assert view.rows[0][-4:] == (*encoder.encode_context("xyz")[0], encoder.separator)
    assert len(view.rows[0]) == 20
    assert view.trimmed > 0
    post = Post("1", "ab", ("ab",), ((0, 2),), ())

    def key(text: str) -> object:
        return run_components({"train": [(post, (text,))]}, TrainingConfig(), "", ())["contexts"]

    assert key("x") != key(ReservedContext("x", 4)) != key(ReservedContext("x", 5))
