"""Tests of the gallery's data: entries, filters, sort orders, and why a picture is not shown."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ita_pipeline.corpus.contexts import ContextConfig
from ita_pipeline.corpus.posts import Picture, Post, Span
from ita_pipeline.extraction.contexts import PostContexts, Results
from ita_pipeline.extraction.items import Extraction
from ita_pipeline.reports.cache_lookup import CacheLookup
from ita_pipeline.reports.gallery import GalleryEntry, make_gallery, make_picture_gallery, split_at_words
from ita_pipeline.reports.posts import GOLD, IT, ReportMention, ReportPost, T, list_gold_mentions
from ita_pipeline.reports.thumbnails import Thumbnail
from ita_pipeline.sources.local import LocalFile
from ita_pipeline.sources.refs import ImageRef
from stages.base import Failure, FailureKind
from tests.support.report_site import key_of, objects, words

A, B = Path("pictures/a.png"), Path("pictures/b.png")
IMAGE = ImageRef("a" * 64, LocalFile(A))
RIGHT, WRONG = (ReportMention(start=1, end=2, type=name) for name in ("PER", "LOC"))


def make_post(picture: Path | None = A, name: str = "a") -> Post:
    post = Post.from_text("hi kim")
    pictures = (Picture(name, picture),) if name else ()
    return Post("7", post.text, post.words, post.offsets, (Span(1, 2, "PER"),), pictures)


def make_lookup(results: Results, unreadable: dict[Path, str] | None = None) -> CacheLookup:
    keys = {name: key_of(name) for name in ("objects", "ocr")}
    contexts = PostContexts(ContextConfig(object_score=0.35), Extraction((), (), (), ()), keys, {A: results})
    return CacheLookup(contexts, {A: IMAGE}, unreadable or {})


def make_entry(
    item: ReportPost, lookup: CacheLookup, thumbnails: dict[str, Thumbnail] | None = None
) -> GalleryEntry:
    return make_gallery([item], lookup, thumbnails or {}).entries[0]


def test_a_post_without_gold_mentions_has_none_listed():
    assert list_gold_mentions(Post.from_text("hi")) == {}


def test_an_entry_has_its_filters_types_and_the_lowest_score():
    answers = {GOLD: (RIGHT,), T: (WRONG,), IT: (RIGHT.model_copy(update={"score": 0.7, "right": True}),)}
    lookup = make_lookup({"objects": Failure(kind=FailureKind.RESOURCE, reason="too large")})
    entry = make_entry(ReportPost(make_post(), "test", 3, answers), lookup)
    assert entry.anchor == "test-3"
    assert entry.tags == ("right", "changed", "helped", "failed", "failed:objects")
    assert (entry.types, entry.confidence) == (("LOC", "PER"), 0.7)


@pytest.mark.parametrize(
    ("post", "thumbnail", "problem"),
    [
        (make_post(picture=None), None, "the picture a was not found"),
        (make_post(name=""), None, ""),
        (make_post(picture=B), None, "too many bytes"),
        (make_post(), None, "this page leaves out its picture"),
        (make_post(), Thumbnail("", "damaged picture"), "damaged picture"),
        (make_post(), Thumbnail("data:x"), ""),
    ],
)
def test_why_a_picture_is_not_shown(post: Post, thumbnail: Thumbnail | None, problem: str):
    lookup = make_lookup({}, {B: "too many bytes"})
    entry = make_entry(ReportPost(post, "test", 1, {}), lookup, {IMAGE.key: thumbnail} if thumbnail else {})
    assert problem in entry.problem
    assert bool(entry.problem) == bool(problem)
    assert bool(entry.picture) == (thumbnail is not None and bool(thumbnail.source))


def test_only_filters_and_orders_that_can_choose_something_are_offered():
    item = ReportPost(make_post(), "test", 1, {GOLD: (RIGHT,), T: (WRONG,), IT: (WRONG,)})
    posts = make_gallery([item], make_lookup({}), {})
    assert [(option.value, option.count) for option in posts.filters] == [
        ("all", 1),
        ("wrong", 1),
        ("right", 0),
        ("waiting", 1),
    ]
    assert [option.value for option in posts.sorts] == ["telling", "order"]
    lookup = make_lookup({"objects": objects("car"), "ocr": words("a1")})
    pictures = make_picture_gallery(Path("pictures"), lookup, {})
    assert [option.value for option in pictures.filters] == ["all"]
    assert [option.value for option in pictures.sorts] == ["order", "unsure", "sure"]
    assert pictures.entries[0].confidence == 0.8


def test_pictures_of_a_folder_are_named_by_their_path_and_linked_by_content():
    lookup = make_lookup({"objects": objects("car")}, {B: "not a regular file"})
    first, second = make_picture_gallery(Path("pictures"), lookup, {}).entries
    assert (first.id, first.anchor) == ("a.png", "a" * 12)
    assert (second.id, second.tags) == ("b.png", ("failed", "failed:reading", "no-picture"))
    assert second.problem == "not a regular file"


@given(st.text())
def test_parts_are_the_text_split_at_its_words(text: str):
    post = Post.from_text(text)
    parts = split_at_words(post)
    assert "".join(parts) == post.text
    assert parts[1::2] == post.words


def test_every_picture_of_a_post_is_in_its_entry():
    post = replace(make_post(), pictures=(Picture("a", A), Picture("gone")))
    entry = make_entry(
        ReportPost(post, "test", 1, {}), make_lookup({"ocr": words("KIM")}), {"a" * 64: Thumbnail("x")}
    )
    (other,) = entry.more
    assert ([word.text for word in entry.found.words], other.found.words) == (["KIM"], ())
    assert (entry.picture, other.picture, other.problem) == ("a" * 64, "", "the picture gone was not found")
    assert "no-picture" in entry.tags
