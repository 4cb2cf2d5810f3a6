"""Checks of a dataset: each kind of trouble is found where it is, and nothing where there is none."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from ita_pipeline.core.errors import UsageError
from ita_pipeline.corpus import checks
from ita_pipeline.corpus.checks import ImageChecks, ViewFit
from ita_pipeline.corpus.findings import Finding
from ita_pipeline.corpus.formats.conll import read_conll
from ita_pipeline.corpus.line_errors import LineError
from ita_pipeline.corpus.posts import Post, Span
from tests.support.datasets import make_post


def names(findings: list[Finding]) -> list[tuple[str, str, str]]:
    return [(found.kind, found.split, found.post) for found in findings]


def of_posts(**splits: list[Post]) -> list[tuple[str, str, str]]:
    return names(list(checks.check_posts(splits)))


def test_a_clean_dataset_has_no_finding():
    one = make_post("Ada spoke", "1", Span(0, 1, "PER"), image="a", picture="a.jpg")
    two = make_post("Bo sang", "2", Span(0, 1, "PER"), image="b", picture="b.jpg")
    assert of_posts(train=[one], test=[two]) == []
    keys = {Path("a.jpg"): "1" * 64, Path("b.jpg"): "2" * 64}
    assert list(checks.check_images({"train": [one], "test": [two]}, ImageChecks(keys))) == []


def test_a_text_in_two_splits_is_a_leak_despite_other_links_and_capitals():
    train = [make_post("RT @a : Hello http://t.co/x", "1")]
    found = of_posts(
        train=train, dev=[make_post("other", "9")], test=[make_post("rt @a : hello https://t.co/y", "2")]
    )
    assert found == [("leaked-text", "test", "2")]


def test_a_text_of_only_links_is_compared_unchanged():
    assert of_posts(train=[make_post("http://a", "1")], test=[make_post("http://b", "2")]) == []
    assert of_posts(train=[make_post("http://a", "1")], test=[make_post("http://a", "2")]) == [
        ("leaked-text", "test", "2")
    ]


def test_duplicates_and_contradictions_within_a_split():
    found = of_posts(train=[make_post("a b", "1", Span(0, 1, "PER")), make_post("A b", "2"), make_post("c", "1")])
    assert found == [
        ("duplicate-text", "train", "2"),
        ("conflicting-labels", "train", "2"),
        ("duplicate-id", "train", "1"),
    ]


def test_a_type_that_train_lacks_is_reported_once_per_split():
    test = [make_post("a", "1", Span(0, 1, "LOC")), make_post("b", "2", Span(0, 1, "LOC"))]
    assert of_posts(train=[make_post("c", "3", Span(0, 1, "PER"))], test=test) == [("unseen-type", "test", "1")]


def test_what_training_refuses_is_found():
    labeled, bare = make_post("Ada", "1", Span(0, 1, "PER")), replace(make_post("a", "2"), gold=None)

    def trainable(**splits: list[Post]) -> list[tuple[str, str, str]]:
        return names(list(checks.check_trainable(splits)))

    assert trainable(train=[labeled], dev=[labeled], test=[make_post("b", "3")]) == []
    assert trainable(train=[labeled], test=[labeled]) == [("empty-split", "dev", "")]
    assert trainable(train=[labeled, bare], dev=[labeled], test=[labeled]) == [("unlabeled-post", "train", "2")]
    assert trainable(train=[bare], dev=[bare], test=[]) == [
        ("unlabeled-post", "train", ""),
        ("unlabeled-post", "dev", ""),
        ("empty-split", "test", ""),
    ]
    assert trainable(train=[make_post("b", "3")], dev=[labeled], test=[labeled]) == [("no-mention", "train", "")]


def test_types_with_few_mentions_in_train_are_described():
    often = [make_post("Ada", str(number), Span(0, 1, "PER")) for number in range(10)]
    rare = make_post("Bo in Rome", "x", Span(0, 1, "DOG"), Span(2, 3, "LOC"))
    (line,) = checks.describe_rare_types({"train": [*often, rare], "dev": [rare]})
    assert line.endswith(": DOG 1, LOC 1")
    assert checks.describe_rare_types({"train": often}) == checks.describe_rare_types({}) == []


def test_posts_without_words_are_found():
    assert of_posts(train=[make_post("", "1"), make_post("", "2")]) == [
        ("empty-post", "train", "1"),
        ("empty-post", "train", "2"),
    ]


def test_images_leak_by_content_and_missing_ones_by_name():
    a, b = make_post("a", image="a", picture="a.jpg"), make_post("b", image="b", picture="b.png")
    same = ImageChecks({Path("a.jpg"): "f" * 64, Path("b.png"): "f" * 64})
    assert names(list(checks.check_images({"train": [a], "test": [b]}, same))) == [("leaked-picture", "test", "b")]
    gone = [make_post("c", image="x"), make_post("d", image="x")]
    found = names(list(checks.check_images({"train": gone[:1], "test": gone[1:]}, ImageChecks())))
    assert found == [
        ("missing-picture", "train", "c"),
        ("missing-picture", "test", "d"),
        ("leaked-picture", "test", "d"),
    ]


def test_missing_images_of_equal_stem_are_no_leak():
    train, test = make_post("a", image="train/1.jpg"), make_post("b", image="test/1.jpg")
    found = names(list(checks.check_images({"train": [train], "test": [test]}, ImageChecks())))
    assert found == [("missing-picture", "train", "a"), ("missing-picture", "test", "b")]


def test_a_file_that_is_not_an_image_is_reported_with_the_reason():
    bad = ImageChecks(bad={Path("a.jpg"): "not a picture"})
    (found,) = checks.check_images({"train": [make_post("a", image="a", picture="a.jpg")]}, bad)
    assert (found.kind, found.what) == ("bad-picture", "a.jpg: not a picture")


def test_posts_that_do_not_fit_are_reported():
    room = {"long": ViewFit(2, 0), "cut": ViewFit(1, 7), "fine": ViewFit(1, 0)}
    posts = [make_post(name) for name in room]
    found = names(list(checks.check_lengths({"train": posts}, lambda one: room[one.id])))
    assert found == [("long-post", "train", "long"), ("trimmed-context", "train", "cut")]


def test_every_faulty_line_is_reported_and_the_others_are_read():
    path = Path("t.txt")
    path.write_text("a\tB-PER\nb\tPERSON\nc\tI-LOC\n\nd\tO\n<EOS>\tX\n")
    heard: list[LineError] = []
    one, two = read_conll(path, on_error=heard.append)
    heard.sort(key=lambda fault: fault.line)
    assert [(fault.kind, fault.line) for fault in heard] == [("bad-tag", 2), ("orphan-tag", 3), ("context-tag", 6)]
    assert one.gold == (Span(0, 1, "PER"), Span(2, 3, "LOC"))
    assert two.words == ("d", "<EOS>")
    assert [found.where for found in checks.check_lines(heard)] == [
        "t.txt, line 2",
        "t.txt, line 3",
        "t.txt, line 6",
    ]


WORDS = st.lists(st.sampled_from(["a", "A", "b", "http://x", "é", "é", ""]), max_size=4)


@given(st.lists(WORDS, max_size=5), st.lists(WORDS, max_size=5))
def test_leaks_are_what_the_two_splits_share(train: list[list[str]], test: list[list[str]]):
    splits = {
        "train": [make_post(" ".join(words), f"a{n}") for n, words in enumerate(train)],
        "test": [make_post(" ".join(words), f"b{n}") for n, words in enumerate(test)],
    }
    known = {checks.fingerprint(one) for one in splits["train"] if one.words}
    shared = [one.id for one in splits["test"] if one.words and checks.fingerprint(one) in known]
    assert [id for kind, _, id in of_posts(**splits) if kind == "leaked-text"] == shared


@given(
    st.lists(
        st.sampled_from(
            ["a\tO", "a\tB-X", "b I-y", "<EOS>\tX", "IMGID:1", "IMGID:", "\u200b\tO", "\t\tO", "", "a b c", "z\tB-"]
        ),
        max_size=9,
    )
)
def test_any_lines_are_reported_as_findings_or_refused(lines: list[str]):
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


def test_a_box_that_leaves_its_picture_is_found():
    inside, outside = (1.0, 1.0, 40.0, 30.0), (1.0, 1.0, 40.5, 30.0)
    span = Span(0, 1, "PER", boxes=(inside, outside))
    post = make_post("Ada spoke", "1", span, image="a", picture="a.jpg")
    images = ImageChecks({Path("a.jpg"): "1" * 64}, sizes={Path("a.jpg"): (40, 30)})
    (found,) = checks.check_images({"train": [post]}, images)
    assert (found.kind, found.post, found.what) == (
        "outside-box",
        "1",
        "[1, 1, 40.5, 30] of 'Ada' in a picture of 40×30",
    )


def test_the_box_of_a_repeated_name_is_found_once_and_also_without_a_picture():
    spans = [Span(place, place + 1, "PER", boxes=((1.0, 1.0, 40.5, 30.0),)) for place in (0, 2)]
    without = make_post("Ada and Ada", "1", *spans)
    (found,) = checks.check_images({"train": [without]}, ImageChecks())
    assert found.what == "[1, 1, 40.5, 30] of 'Ada' of a post that has no picture"
