"""Checks of a dataset: each kind of trouble is found where it is, and nothing where there is none."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from ita_pipeline.core.errors import UsageError
from ita_pipeline.corpus import checks
from ita_pipeline.corpus.checks import Finding, ImageChecks, ViewFit
from ita_pipeline.corpus.formats.conll import read_conll
from ita_pipeline.corpus.line_errors import LineError
from ita_pipeline.corpus.posts import Post, Span, join_words
from ita_pipeline.corpus.stats import compute_stats


def post(text: str, id: str = "", *gold: Span, image: str | None = None, picture: str | None = None) -> Post:
    words = tuple(text.split())
    whole, offsets = join_words(words)
    path = Path(picture) if picture else None
    return Post(id or text, whole, words, offsets, gold, image_id=image, picture=path)


def names(findings: list[Finding]) -> list[tuple[str, str, str]]:
    return [(found.kind.name, found.split, found.post) for found in findings]


def of_posts(**splits: list[Post]) -> list[tuple[str, str, str]]:
    return names(list(checks.check_posts(splits)))


def test_a_clean_dataset_has_no_finding():
    one = post("Ada spoke", "1", Span(0, 1, "PER"), image="a", picture="a.jpg")
    two = post("Bo sang", "2", Span(0, 1, "PER"), image="b", picture="b.jpg")
    assert of_posts(train=[one], test=[two]) == []
    keys = {Path("a.jpg"): "1" * 64, Path("b.jpg"): "2" * 64}
    assert list(checks.check_images({"train": [one], "test": [two]}, ImageChecks(keys))) == []


def test_the_same_text_in_two_splits_leaks_whatever_its_link_and_capitals():
    train = [post("RT @a : Hello http://t.co/x", "1")]
    found = of_posts(train=train, dev=[post("other", "9")], test=[post("rt @a : hello https://t.co/y", "2")])
    assert found == [("leaked-text", "test", "2")]


def test_a_text_of_links_alone_is_compared_as_it_stands():
    assert of_posts(train=[post("http://a", "1")], test=[post("http://b", "2")]) == []
    assert of_posts(train=[post("http://a", "1")], test=[post("http://a", "2")]) == [("leaked-text", "test", "2")]


def test_duplicates_and_contradictions_within_a_split():
    found = of_posts(train=[post("a b", "1", Span(0, 1, "PER")), post("A b", "2"), post("c", "1")])
    assert found == [
        ("duplicate-text", "train", "2"),
        ("conflicting-labels", "train", "2"),
        ("duplicate-id", "train", "1"),
    ]


def test_types_that_train_never_shows_are_named_once():
    test = [post("a", "1", Span(0, 1, "LOC")), post("b", "2", Span(0, 1, "LOC"))]
    assert of_posts(train=[post("c", "3", Span(0, 1, "PER"))], test=test) == [("unseen-type", "test", "1")]


def test_bare_posts_are_wrong_only_beside_labelled_ones():
    bare = replace(post("a", "1"), gold=None)
    assert of_posts(train=[bare], test=[replace(post("b", "2"), gold=None)]) == []
    assert of_posts(train=[bare], test=[post("b", "2")]) == [("unlabelled-post", "train", "1")]
    assert of_posts(train=[post("", "1"), post("", "2")]) == [
        ("empty-post", "train", "1"),
        ("empty-post", "train", "2"),
    ]


def test_pictures_leak_by_content_and_where_they_are_gone_by_name():
    a, b = post("a", image="a", picture="a.jpg"), post("b", image="b", picture="b.png")
    same = ImageChecks({Path("a.jpg"): "f" * 64, Path("b.png"): "f" * 64})
    assert names(list(checks.check_images({"train": [a], "test": [b]}, same))) == [("leaked-picture", "test", "b")]
    gone = [post("c", image="x"), post("d", image="x")]
    found = names(list(checks.check_images({"train": gone[:1], "test": gone[1:]}, ImageChecks())))
    assert found == [
        ("missing-picture", "train", "c"),
        ("missing-picture", "test", "d"),
        ("leaked-picture", "test", "d"),
    ]


def test_a_file_that_is_no_picture_is_told_with_its_reason():
    bad = ImageChecks(bad={Path("a.jpg"): "not a picture"})
    (found,) = checks.check_images({"train": [post("a", image="a", picture="a.jpg")]}, bad)
    assert (found.kind.name, found.what) == ("bad-picture", "a.jpg: not a picture")


def test_lengths_are_told_where_something_is_cut():
    room = {"long": ViewFit(2, 0), "cut": ViewFit(1, 7), "fine": ViewFit(1, 0)}
    posts = [post(name) for name in room]
    found = names(list(checks.check_lengths({"train": posts}, lambda one: room[one.id])))
    assert found == [("long-post", "train", "long"), ("trimmed-context", "train", "cut")]


def test_every_faulty_line_is_heard_and_the_rest_still_read():
    path = Path("t.txt")
    path.write_text("a\tB-PER\nb\tPERSON\nc\tI-LOC\n\nd\tO\n<EOS>\tX\n")
    heard: list[LineError] = []
    one, two = read_conll(path, on_error=heard.append)
    assert [(fault.kind, fault.line) for fault in heard] == [("bad-tag", 2), ("orphan-tag", 3), ("context-tag", 6)]
    assert one.gold == (Span(0, 1, "PER"), Span(2, 3, "LOC"))
    assert two.words == ("d", "<EOS>")
    assert [found.where for found in checks.check_lines(heard)] == [
        "t.txt, line 2",
        "t.txt, line 3",
        "t.txt, line 6",
    ]


def test_numbers_of_a_dataset():
    train = [
        post("Ada in York", "1", Span(0, 1, "PER"), Span(2, 3, "LOC"), image="x", picture="x.jpg"),
        post("no", "2"),
    ]
    dev = [post("ada in Rome", "3", Span(0, 1, "PER"), Span(2, 3, "LOC"), image="y")]
    found = compute_stats({"train": train, "dev": dev})
    assert found["train"].types == {"LOC": 1, "PER": 1}
    assert (found["train"].words, found["train"].longest, found["train"].without_mention) == (4, 3, 1)
    assert (found["dev"].unseen, found["dev"].named_pictures, found["dev"].pictures) == (1, 1, 0)


WORDS = st.lists(st.sampled_from(["a", "A", "b", "http://x", "é", "é", ""]), max_size=4)


@given(st.lists(WORDS, max_size=5), st.lists(WORDS, max_size=5))
def test_leaks_are_what_the_two_splits_share(train: list[list[str]], test: list[list[str]]):
    splits = {
        "train": [post(" ".join(words), f"a{n}") for n, words in enumerate(train)],
        "test": [post(" ".join(words), f"b{n}") for n, words in enumerate(test)],
    }
    known = {checks.fingerprint(one) for one in splits["train"] if one.words}
    shared = [one.id for one in splits["test"] if one.words and checks.fingerprint(one) in known]
    assert [id for kind, _, id in of_posts(**splits) if kind == "leaked-text"] == shared


def test_a_word_without_a_tag_among_others_is_named():
    path = Path("t.txt")
    path.write_text("a\tO\nb\n\nc\nd\n")
    heard: list[LineError] = []
    one, two = read_conll(path, on_error=heard.append)
    assert [(fault.kind, fault.line) for fault in heard] == [("missing-tag", 2)]
    assert (one.gold, two.gold) == (None, None)
    assert read_conll(path) == [one, two]


@given(
    st.lists(
        st.sampled_from(
            ["a\tO", "a\tB-X", "b I-y", "<EOS>\tX", "IMGID:1", "IMGID:", "\u200b\tO", "\t\tO", "", "a b c", "z\tB-"]
        ),
        max_size=9,
    )
)
def test_whatever_the_lines_are_they_end_as_findings(lines: list[str]):
    path = Path("t.txt")
    path.write_text("\n".join(lines), "utf-8")
    heard: list[LineError] = []
    try:
        splits = {"train": read_conll(path, on_error=heard.append), "test": read_conll(path)}
    except UsageError as error:
        assert "t.txt, line" in str(error)
    else:
        found = [
            *checks.check_lines(heard),
            *checks.check_posts(splits),
            *checks.check_images(splits, ImageChecks()),
        ]
        assert all(finding.what and finding.where for finding in found)
