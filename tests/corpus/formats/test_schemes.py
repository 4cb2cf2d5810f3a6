"""Tags of each scheme are read back as the spans that they were made from."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ita_pipeline.corpus.formats import parse_posts
from ita_pipeline.corpus.formats.kbner import read_contexted_tweets
from ita_pipeline.corpus.formats.schemes import decode_tags, encode_bio, find_orphans, find_scheme, is_tag
from ita_pipeline.corpus.posts import Span
from tests.support.datasets import read_dataset

# The prefixes of a mention's only, first, inner and last word.
PREFIXES = {"BIO": "BBII", "IOBES": "SBIE", "BILOU": "UBIL", "BMEWO": "WBME", "IOB1": "IIII"}


def encode(length: int, spans: list[Span], scheme: str) -> list[str]:
    tags = ["O"] * length
    only, first, inner, last = PREFIXES[scheme]
    for span in spans:
        size = span.end - span.start
        prefixes = [only] if size == 1 else [first, *[inner] * (size - 2), last]
        if scheme == "IOB1" and span.start and tags[span.start - 1].endswith(f"-{span.type}"):
            prefixes[0] = "B"
        tags[span.start : span.end] = [f"{prefix}-{span.type}" for prefix in prefixes]
    return tags


@st.composite
def spans(draw: st.DrawFn) -> tuple[int, list[Span]]:
    found: list[Span] = []
    position = 0
    for gap, size, kind in draw(
        st.lists(st.tuples(st.integers(0, 2), st.integers(1, 4), st.sampled_from(["PER", "B-x"])))
    ):
        found.append(Span(position + gap, position + gap + size, kind))
        position += gap + size
    return position + draw(st.integers(0, 2)), found


@given(spans(), st.sampled_from(sorted(PREFIXES)), st.booleans())
def test_spans_are_read_back_from_every_scheme(sentence: tuple[int, list[Span]], scheme: str, lower: bool):
    length, expected = sentence
    tags = encode(length, expected, scheme)
    if lower:
        tags = [tag[0].lower() + tag[1:] for tag in tags]
    assert all(map(is_tag, tags))
    assert list(decode_tags(tags, {})) == expected
    assert scheme == "IOB1" or find_orphans(tags, {}) == []


@given(spans())
def test_bio_is_written_as_it_is_read(sentence: tuple[int, list[Span]]):
    length, expected = sentence
    assert encode_bio(length, expected) == encode(length, expected, "BIO")


SENTENCE = [Span(0, 1, "PER"), Span(1, 4, "PER"), Span(5, 7, "LOC")]


@pytest.mark.parametrize("scheme", sorted(PREFIXES))
def test_the_scheme_is_found(scheme: str):
    assert find_scheme([[], encode(8, SENTENCE, scheme), ["O"]], {}) == scheme


def test_mixed_schemes_are_all_named():
    assert find_scheme([["S-PER"], ["U-PER"]], {}) == "BILOU and IOBES"
    assert find_scheme([["B-PER", "O", "I-PER"]], {}) == "BIO"
    assert find_scheme([["I-PER", "O"]], {}) == "BIO"


@pytest.mark.parametrize("scheme", sorted(set(PREFIXES) - {"BIO"}))
@pytest.mark.parametrize("form", ["conll", "jsonl"])
def test_datasets_in_any_scheme_are_read_with_a_note(scheme: str, form: str):
    folder = Path("mine")
    folder.mkdir()
    tags = encode(8, SENTENCE, scheme)
    for split in ("train", "dev", "test"):
        if form == "conll":
            (folder / f"{split}.txt").write_text("".join(f"w{n}\t{tag}\n" for n, tag in enumerate(tags)))
        else:
            content = f'{{"tokens": {[f"w{n}" for n in range(8)]}, "tags": {tags}}}'.replace("'", '"')
            (folder / f"{split}.jsonl").write_text(content)
    dataset = read_dataset("mine")
    assert [list(post.gold or ()) for post in dataset.posts] == [SENTENCE] * 3
    assert dataset.notes == (f"the tags are {scheme}",)


def test_an_iob1_file_has_no_orphans_and_a_bio_file_has():
    errors: list[object] = []
    for content in ("a\tI-PER\n\nb\tI-PER\nc\tB-PER\n", "a\tB-PER\n\nb\tI-LOC\n"):
        Path("t.txt").write_text(content)
        list(parse_posts(Path("t.txt"), on_error=lambda error: errors.append(str(error))))
    assert errors == ["t.txt, line 3: I-LOC of 'b' continues no mention"]


def test_late_contexts_in_iobes_are_read_and_their_marks_are_no_mentions():
    Path("t.txt").write_text("Ada S-ORG\nx b-per\ny e-per\n<EOS> S-X\na S-X\n")
    (tweet,) = read_contexted_tweets(Path("t.txt"))
    assert (tweet.tags, tweet.contexts) == (("S-ORG", "b-per", "e-per"), ("a",))
