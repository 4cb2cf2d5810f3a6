from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ita_pipeline.corpus.posts import Post, Span, join_words
from ita_pipeline.extraction import few_shot as similarity
from ita_pipeline.extraction.few_shot import ExampleSelector, TextVectors, normalize
from ita_pipeline.extraction.items import PostSource, make_post_ref
from ita_pipeline.sources.local import LocalFile
from ita_pipeline.sources.refs import ImageRef

VOCABULARY = ("rain", "sun", "Marlow", "Kevin", "goal", "RT", "lunch")


def post(text: str, id: str = "1", gold: bool = True) -> Post:
    words = tuple(text.split())
    joint, offsets = join_words(words)
    spans = tuple(Span(n, n + 1, "LOC") for n, word in enumerate(words) if word == "Marlow")
    return Post(id, joint, words, offsets, spans if gold else None)


@pytest.fixture
def counted(monkeypatch: pytest.MonkeyPatch) -> None:
    """Words counted, in place of an encoder."""
    monkeypatch.setattr(similarity, "TextVectors", Counted)


class Counted:
    def __init__(self, encoder: str, root: Path) -> None: ...

    def encode(self, texts: list[str]) -> np.ndarray:
        found = np.array([[text.split().count(word) + 1e-3 for word in VOCABULARY] for text in texts])
        return found / np.linalg.norm(found, axis=1, keepdims=True)


texts = st.lists(st.sampled_from(VOCABULARY), min_size=1, max_size=5).map(" ".join)


@settings(max_examples=50, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(train=st.lists(texts, max_size=12), others=st.lists(texts, max_size=6), shots=st.integers(1, 5))
def test_examples_are_posts_for_training_and_never_the_post_itself(
    train: list[str], others: list[str], shots: int
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(similarity, "TextVectors", Counted)
        pool = [post(text, f"train-{n}") for n, text in enumerate(train)]
        found = ExampleSelector(pool, "any", Path()).select([*train, *others], shots)
    for text, examples in found.items():
        assert len(examples) <= shots
        assert {example.text for example in examples} <= set(train)
        assert normalize(text) not in {normalize(example.text) for example in examples}
        for example in examples:
            assert ("Marlow (location)" in example.answer) == ("Marlow" in example.text.split())


def test_the_nearest_comes_last_and_a_retweet_of_the_post_not_at_all(counted: None) -> None:
    train = [post(text) for text in ("sun sun", "rain lunch", "rain rain lunch", "RT rain rain sun http://t.co/x")]
    found = ExampleSelector(train, "any", Path()).select(["Rain rain sun !"], 2)
    assert [example.text for example in found["Rain rain sun !"]][-1] in (
        "rain rain lunch",
        "rain lunch",
        "sun sun",
    )
    assert all("t.co" not in example.text for example in found["Rain rain sun !"])


@pytest.mark.parametrize(
    "text",
    [
        "RT @kidswontknow : rain in Marlow http://t.co/x",
        "rt @ kids_won: Rain in Marlow",
        "RT @a: RT @b: rain in Marlow!",
    ],
)
def test_a_retweet_of_somebody_is_no_example_of_the_tweet_or_of_another_retweet(counted: None, text: str) -> None:
    asked = ["rain in Marlow", "RT @ChildhoodShows : rain in Marlow"]
    assert all(not found for found in ExampleSelector([post(text)], "any", Path()).select(asked, 1).values())


def test_posts_without_labels_teach_nothing(counted: None) -> None:
    assert ExampleSelector([post("rain", gold=False)], "any", Path()).select(["sun"], 3) == {}


def test_vectors_by_the_bundled_encoder_are_kept_and_rank_by_meaning(tmp_path: Path) -> None:
    train = [post("the football match ended in a draw"), post("a recipe for soup with carrots")]
    chooser = ExampleSelector(train, "minilm", tmp_path)
    found = chooser.select(["late goal wins the soccer game"], 1)
    (example,) = found["late goal wins the soccer game"]
    assert "football" in example.text
    (file,) = (tmp_path / "similarity").glob("*.npz")
    before = file.stat().st_mtime_ns
    assert ExampleSelector(train, "minilm", tmp_path).select(["late goal wins the soccer game"], 1) == found
    assert file.stat().st_mtime_ns == before
    file.write_bytes(b"broken")
    assert ExampleSelector(train, "minilm", tmp_path).select(["late goal wins the soccer game"], 1) == found


def test_vectors_that_were_made_before_an_interrupt_are_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    encoded: list[str] = []

    def encode(self: TextVectors, texts: list[str]) -> list[np.ndarray]:
        if "c" in texts and "c" not in encoded:
            encoded.append("c")
            raise KeyboardInterrupt
        encoded.extend(texts)
        return [np.full(2, ord(text), np.float32) for text in texts]

    monkeypatch.setattr(TextVectors, "compute", encode)
    with pytest.raises(KeyboardInterrupt):
        TextVectors("minilm", tmp_path, save_every=2).encode(["a", "b", "c"])
    assert TextVectors("minilm", tmp_path).encode(["c", "b", "a"])[:, 0].tolist() == [ord("c"), ord("b"), ord("a")]
    assert encoded == ["a", "b", "c", "c"]


@settings(deadline=None)
@given(text=texts, other=texts)
def test_a_key_is_of_text_picture_and_examples_and_never_of_labels(text: str, other: str) -> None:
    labelled, bare = post(text), post(text, gold=False)
    assert make_post_ref(labelled, None, ()).key == make_post_ref(bare, None, ()).key
    assert (make_post_ref(labelled, None, ()).key == make_post_ref(post(other), None, ()).key) == (text == other)
    picture = ImageRef("0" * 64, LocalFile(Path("a.png")))
    assert make_post_ref(labelled, picture, ()).key != make_post_ref(labelled, None, ()).key


def test_a_source_has_no_examples_unless_it_is_given_posts_for_training() -> None:
    assert PostSource((post("rain"),)).train == ()
