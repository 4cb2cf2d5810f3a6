"""Tests of few-shot examples: which posts are selected, and the cache of their vectors."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ita_pipeline.corpus.posts import Post, Span, join_words
from ita_pipeline.extraction.few_shot import encode_texts, normalize, select_examples
from ita_pipeline.ner.encoders import EncoderRef

VOCABULARY = ("rain", "sun", "Marlow", "Kevin", "goal", "RT", "lunch")


def post(text: str, id: str = "1", gold: bool = True) -> Post:
    words = tuple(text.split())
    joint, offsets = join_words(words)
    spans = tuple(Span(n, n + 1, "LOC") for n, word in enumerate(words) if word == "Marlow")
    return Post(id, joint, words, offsets, spans if gold else None)


def count_words(texts: Sequence[str]) -> np.ndarray:
    """Vectors of counted words, in place of those of an encoder."""
    counts = np.array([[text.split().count(word) + 1e-3 for word in VOCABULARY] for text in texts])
    return counts / np.linalg.norm(counts, axis=1, keepdims=True)


texts = st.lists(st.sampled_from(VOCABULARY), min_size=1, max_size=5).map(" ".join)


@settings(max_examples=50, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(train=st.lists(texts, max_size=12), others=st.lists(texts, max_size=6), shots=st.integers(1, 5))
def test_examples_are_training_posts_and_never_the_post_itself(
    train: list[str], others: list[str], shots: int
) -> None:
    pool = [post(text, f"train-{n}") for n, text in enumerate(train)]
    for text, examples in select_examples([*train, *others], pool, shots, count_words).items():
        assert len(examples) <= shots
        assert {example.text for example in examples} <= set(train)
        assert normalize(text) not in {normalize(example.text) for example in examples}
        for example in examples:
            assert ("Marlow (location)" in example.answer) == ("Marlow" in example.text.split())


def test_examples_name_types_in_the_language_of_the_prompt() -> None:
    train = [post("sun Marlow"), post("rain")]
    for language, answers in (("", {"Marlow (location)", "none"}), ("zh", {"Marlow (地名)", "无"})):
        examples = select_examples(["sun"], train, 2, count_words, language)["sun"]
        assert {example.answer for example in examples} == answers


def test_the_nearest_example_comes_last_and_a_retweet_of_the_post_is_none() -> None:
    train = [post(text) for text in ("sun sun", "rain lunch", "rain rain lunch", "RT rain rain sun http://t.co/x")]
    examples = select_examples(["Rain rain sun !"], train, 2, count_words)["Rain rain sun !"]
    assert examples[-1].text in ("rain rain lunch", "rain lunch", "sun sun")
    assert all("t.co" not in example.text for example in examples)


@pytest.mark.parametrize(
    "text",
    [
        "RT @kidswontknow : rain in Marlow http://t.co/x",
        "rt @ kids_won: Rain in Marlow",
        "RT @a: RT @b: rain in Marlow!",
    ],
)
def test_a_retweet_is_no_example_of_the_tweet_or_of_another_retweet(text: str) -> None:
    texts = ["rain in Marlow", "RT @ChildhoodShows : rain in Marlow"]
    assert all(not examples for examples in select_examples(texts, [post(text)], 1, count_words).values())


def test_posts_without_labels_are_no_examples() -> None:
    assert select_examples(["sun"], [post("rain", gold=False)], 3, count_words) == {}


def test_vectors_of_the_bundled_encoder_are_cached_and_rank_by_meaning(tmp_path: Path) -> None:
    train = [post("the football match ended in a draw"), post("a recipe for soup with carrots")]
    question = "late goal wins the soccer game"
    encode = functools.partial(encode_texts, "minilm", tmp_path)
    selected = select_examples([question], train, 1, encode)
    (example,) = selected[question]
    assert "football" in example.text
    (file,) = (tmp_path / "similarity").glob("*.npz")
    before = file.stat().st_mtime_ns
    assert select_examples([question], train, 1, encode) == selected
    assert file.stat().st_mtime_ns == before
    file.write_bytes(b"broken")
    assert select_examples([question], train, 1, encode) == selected


def test_vectors_that_were_computed_before_an_interrupt_are_cached(tmp_path: Path) -> None:
    encoded: list[str] = []

    def compute(encoder: EncoderRef, texts: Sequence[str]) -> list[np.ndarray]:
        if "c" in texts and "c" not in encoded:
            encoded.append("c")
            raise KeyboardInterrupt
        encoded.extend(texts)
        return [np.full(2, ord(text), np.float32) for text in texts]

    with pytest.raises(KeyboardInterrupt):
        encode_texts("minilm", tmp_path, ["a", "b", "c"], compute, save_every=2)
    vectors = encode_texts("minilm", tmp_path, ["c", "b", "a"], compute)
    assert vectors[:, 0].tolist() == [ord("c"), ord("b"), ord("a")]
    assert encoded == ["a", "b", "c", "c"]
