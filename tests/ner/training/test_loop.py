"""Training: it learns, the same seed gives the same, and the epoch that is kept is the best one."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from ita_pipeline.corpus.formats.conll import read_conll
from ita_pipeline.corpus.posts import Post, Span, join_words
from ita_pipeline.ner.metrics.errors import surface_forms
from ita_pipeline.ner.metrics.scores import Score, Scores, best_epoch, score_views
from ita_pipeline.ner.prediction import predict_views
from ita_pipeline.ner.runtimes import TorchRuntime
from ita_pipeline.ner.subtokens import SubTokenizer
from ita_pipeline.ner.tagger import Tagger
from ita_pipeline.ner.training import loop
from ita_pipeline.ner.views import ViewEncoder, encode_posts
from ita_pipeline.runs.results import write_split
from ita_pipeline.runs.run import Run
from tests.support.tiny_encoder import load
from tests.support.tiny_tagger import QUICK, bench


def test_training_learns_from_contexts_what_words_leave_open(tmp_path: Path, encoder_folder: Path):
    made = bench(encoder_folder, tmp_path)
    history = made.train()
    assert history[-1].loss < history[0].loss
    assert max(epoch.context_f1 for epoch in history) > 0.9
    assert history[0].alignment > 0
    best = history[best_epoch(history)]
    kept = Tagger.from_pretrained(made.desk.model(best.epoch)).eval()
    text, both = score_views(made.examples, predict_views(TorchRuntime(kept), made.examples, made.pad))
    assert (text.micro.f1, both.micro.f1) == (best.text_f1, best.context_f1)
    assert [path.name for path in made.desk.model(1).parent.iterdir()] == [f"epoch-{best.epoch:03d}"]


def test_the_same_seed_gives_the_same_weights_and_another_does_not(tmp_path: Path, encoder_folder: Path):
    short = QUICK.model_copy(update={"epochs": 2})
    one, two = bench(encoder_folder, tmp_path / "a", short), bench(encoder_folder, tmp_path / "b", short)
    other = bench(encoder_folder, tmp_path / "c", short.model_copy(update={"seed": 9}))
    assert one.train() == two.train()
    other.train()
    pairs = zip(one.tagger.parameters(), two.tagger.parameters(), strict=True)
    assert all(torch.equal(x, y) for x, y in pairs)
    assert not torch.equal(one.tagger.linear.weight, other.tagger.linear.weight)


def test_patience_ends_a_training_that_gets_no_better(
    tmp_path: Path, encoder_folder: Path, monkeypatch: pytest.MonkeyPatch
):
    f1 = iter([0.2, 0.6, 0.5, 0.6, 0.4, 0.3, 0.9])

    def fixed(*_: object) -> tuple[Scores, Scores]:
        value = next(f1)
        micro = Score(precision=value, recall=value, f1=value, support=1)
        return (Scores(micro=micro, types={}, macro_f1=value),) * 2

    monkeypatch.setattr(loop, "score_views", fixed)
    made = bench(encoder_folder, tmp_path, QUICK.model_copy(update={"patience": 2}))
    history = made.train()
    assert [epoch.text_f1 for epoch in history] == [0.2, 0.6, 0.5, 0.6, 0.4, 0.3]
    assert made.lines == ["stopping early: epoch 4 is the best"]
    assert made.desk.model(4).is_dir()
    # Killed after its end, it is over and is not trained on.
    assert bench(encoder_folder, tmp_path, made.config).train() == history
    assert next(f1) == 0.9


def test_every_update_and_every_epoch_is_logged(tmp_path: Path, encoder_folder: Path):
    made = bench(encoder_folder, tmp_path, QUICK.model_copy(update={"epochs": 2}))
    history = made.train()
    lines = [json.loads(line) for line in made.desk.log.read_text().splitlines()]
    updates = [line for line in lines if line["event"] == "update"]
    assert [line["step"] for line in updates] == list(range(1, 13))
    assert [line["f1"] if "f1" in line else line["text_f1"] for line in lines if line["event"] == "epoch"] == [
        epoch.text_f1 for epoch in history
    ]
    assert sum(line["loss"] for line in updates[:6]) / 6 == pytest.approx(history[0].loss)
    assert updates[0]["learning_rate"] > updates[-1]["learning_rate"] >= 0


WORD = st.one_of(
    st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=6),
    st.sampled_from(["\u200b", "🎉🎉", "👩‍👩‍👧", "שלום", "\u202eabc", "a" * 300, " ", "\ufffd", "[SEP]", "\x00"]),
)
POSTS = st.lists(
    st.one_of(st.lists(WORD, max_size=6), st.just(["word"] * 500), st.just(["\u200b"])), min_size=1, max_size=4
)


def as_posts(sentences: list[list[str]]) -> list[tuple[Post, tuple[str, ...]]]:
    found = []
    for number, sentence in enumerate([["Ada"], *sentences]):
        words = tuple(sentence)
        text, offsets = join_words(words)
        gold = tuple(Span(place, place + 1, ("LOC", "PER")[place % 2]) for place in range(0, len(words), 2))
        contexts = (" ".join(words), "a sign") if number % 2 else ()
        found.append((Post(str(number), text, words, offsets, gold=gold), contexts))
    return found


@settings(max_examples=8, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@example(sentences=[[], ["\u200b"], ["word"] * 500, ["🎉"], ["\u202eabc", "שלום"]])
@example(sentences=[["0", "\r"], ["a\tb", "\n\r", "c\rd"]])
@given(sentences=POSTS)
def test_odd_posts_can_be_trained_on_and_scored(
    encoder_folder: Path, tmp_path_factory: pytest.TempPathFactory, sentences: list[list[str]]
):
    folder = tmp_path_factory.mktemp("odd")
    made = bench(encoder_folder, folder, QUICK.model_copy(update={"epochs": 1, "batch_size": 2}))
    _, tokenizer = load(encoder_folder)
    made.examples = encode_posts(as_posts(sentences), ViewEncoder(SubTokenizer.of(tokenizer), 64))
    (epoch,) = made.train()
    assert epoch.loss >= 0
    run = Run(folder / "run")
    run.folder.mkdir()
    outcome = predict_views(TorchRuntime(made.tagger), made.examples, made.pad)
    known = surface_forms(one.post for one in made.examples)
    scores, analysis = write_split(run, "test", made.examples, outcome, known)
    assert scores.text.micro.f1 == epoch.text_f1
    assert analysis.text_and_image.seen.support == sum(len(one.post.gold or ()) for one in made.examples)
    written = read_conll(run.predictions("test", "text+image"))
    assert len(written) == sum(bool(one.post.words) for one in made.examples)
