"""The corpora of the tagger for tweets: their conventions become those of Twitter-2015."""

from __future__ import annotations

from pathlib import Path

import pytest

from ita_pipeline.corpus.formats.conll import read_conll
from ita_pipeline.corpus.formats.schemes import decode_tags
from ita_pipeline.corpus.posts import Post
from scripts.build_tagger import drop_copies, join_marks, prepare, write_dataset


def post(*tagged: str) -> Post:
    """Make a post of `word/TAG`."""
    words, tags = zip(*(word.rsplit("/", 1) for word in tagged), strict=True)
    return Post.from_words("1", words, tuple(decode_tags(tags, {})))


def mentions(one: Post) -> list[tuple[str, str]]:
    return [(" ".join(one.words[span.start : span.end]), span.type) for span in one.gold or ()]


@pytest.mark.parametrize(
    ("tagged", "text", "expected"),
    [
        (["Hey/O", "@/B-PER", "colgo/B-PER", "!/O"], "Hey @colgo !", []),
        (["via/O", "@/O", "guardian/B-ORG"], "via @guardian", []),
        (["RT/O", "@/O", "ann/O", "Bob/B-PER"], "RT @ann Bob", [("Bob", "PER")]),
        (["@/B-PER", "ann/I-PER", "@/I-PER", "bob/I-PER"], "@ann @bob", []),
        (["@/O", "Parl/B-LOC", "House/I-LOC"], "@ Parl House", [("Parl House", "LOC")]),
        (["in/O", "#/O", "Gateshead/B-LOC"], "in #Gateshead", [("#Gateshead", "LOC")]),
        (["#/O", "win/O", "Leeds/B-ORG", "United/I-ORG"], "#win Leeds United", [("Leeds United", "ORG")]),
        (["Ann/B-PER", "Lee/B-PER"], "Ann Lee", [("Ann", "PER"), ("Lee", "PER")]),
        (["@ann/B-PER", "and/O"], "@ann and", []),
        (["#/O", "!/O"], "# !", []),
    ],
)
def test_signs_are_joined_with_their_words_and_handles_are_no_mentions(
    tagged: list[str], text: str, expected: list[tuple[str, str]]
):
    joined = join_marks(post(*tagged))

    assert joined.text == text
    assert mentions(joined) == expected


def test_other_types_are_no_mentions():
    joined = join_marks(post("Frozen/B-creative-work", "in/O", "Rome/B-LOC"))

    assert mentions(joined) == [("Rome", "LOC")]


def test_copies_and_posts_without_letters_are_dropped():
    first, copy, empty = post("Off/O", "to/O", "Rome/O"), post("off/O", "to/O", "ROME/O", "!/O"), post("!/O")

    assert drop_copies([first, copy, empty], []) == [first]
    assert drop_copies([first], [copy]) == []


def test_the_splits_share_no_text(tmp_path: Path):
    btc, wnut = tmp_path / "btc", tmp_path / "wnut17"
    btc.mkdir()
    wnut.mkdir()
    for number, section in enumerate("abefgh"):
        lines = [f"in\tO\nTown{number}\tB-LOC\n", "the\tO\nsame\tO\n", f"at\tO\nPlace{number}\tB-LOC\n"]
        (btc / f"{section}.conll").write_text("\n".join([*lines, f"by\tO\nName{number}\tB-PER\n"]))
    for name in ("wnut17train.conll", "emerging.dev.conll", "emerging.test.annotated"):
        (wnut / name).write_text("by\tO\nAcme\tB-corporation\n\nin\tO\nTown3\tB-location\n")

    splits = prepare(tmp_path, held_out=[post("in/O", "Town0/O")])
    write_dataset(splits, tmp_path / "tweets")

    texts = {split: [one.text for one in posts] for split, posts in splits.items()}
    assert texts["test"] == ["in Town3", "the same", "at Place3", "by Name3"]
    assert texts["dev"] == ["at Place5", "by Name5"]
    assert set(texts["train"]).isdisjoint({*texts["test"], *texts["dev"], "in Town0"})
    assert texts["train"].count("by Acme") == 1
    assert [one.gold for one in read_conll(tmp_path / "tweets/train.txt")] == [one.gold for one in splits["train"]]
