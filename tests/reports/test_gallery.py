"""The gallery's data: what was found and used, verdicts, filters, and why a picture is not shown."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ita_pipeline.corpus.contexts import ContextConfig
from ita_pipeline.corpus.posts import Post, Span
from ita_pipeline.extraction.contexts import PostContexts, Results
from ita_pipeline.extraction.pictures import Extraction
from ita_pipeline.reports.findings import findings
from ita_pipeline.reports.gallery import Seen, Shown, gold_of, make_gallery, make_picture_gallery
from ita_pipeline.reports.models import GOLD, IT, Entry, Marked, T, parts_of, verdict
from ita_pipeline.reports.thumbnails import Thumbnail
from ita_pipeline.sources.local import LocalFile
from ita_pipeline.sources.refs import ImageRef
from stages.base import Failure, FailureKind
from tests.support.fakes import SizeValue
from tests.support.report_site import caption, key_of, objects, words

A, B = Path("pictures/a.png"), Path("pictures/b.png")
IMAGE = ImageRef("a" * 64, LocalFile(A))
GOOD, BAD = Marked(start=1, end=2, type="PER"), Marked(start=1, end=2, type="LOC")


def post(text: str = "hi kim", picture: Path | None = A, image_id: str | None = "a") -> Post:
    made = Post.from_text(text)
    return Post("7", text, made.words, made.offsets, (Span(1, 2, "PER"),), image_id, picture)


def seen(results: Results, unreadable: dict[Path, str] | None = None) -> Seen:
    keys = {name: key_of(name) for name in ("objects", "ocr")}
    contexts = PostContexts(ContextConfig(object_score=0.35), Extraction((), (), (), ()), keys, {A: results})
    return Seen(contexts, {A: IMAGE}, unreadable or {})


def entry(shown: Shown, known: Seen, thumbnails: dict[str, Thumbnail] | None = None) -> Entry:
    return make_gallery([shown], known, thumbnails or {}).entries[0]


@given(st.text())
def test_parts_are_the_text_cut_at_its_words(text: str):
    made = Post.from_text(text)
    parts = parts_of(made)
    assert "".join(parts) == made.text
    assert parts[1::2] == made.words


@pytest.mark.parametrize(
    ("text", "both", "tags"),
    [
        (BAD, GOOD, ("right", "changed", "helped")),
        (GOOD, BAD, ("wrong", "changed", "harmed")),
        (None, BAD, ("wrong", "changed")),
        (BAD, BAD, ("wrong",)),
        (GOOD, GOOD, ("right",)),
    ],
)
def test_a_verdict_compares_both_views_with_gold(text: Marked | None, both: Marked, tags: tuple[str, ...]):
    found, _ = verdict({GOLD: [GOOD], T: [text] if text else [], IT: [both]})
    assert found == tags


def test_posts_that_nobody_judged_have_no_verdict():
    assert verdict({GOLD: [GOOD]}) == ((), 0)
    assert gold_of(Post.from_text("hi")) == {}


def test_what_was_appended_is_told_from_what_was_only_found():
    found = findings(
        {"objects": objects("person", "car"), "ocr": words("KIM", "|"), "caption": caption("one", "two")},
        ContextConfig(object_score=0.35, objects=1, captions=1),
        ("objects", "ocr", "caption"),
    )
    assert [(thing.label, thing.tag, thing.used) for thing in found.objects] == [
        ("person", "red person", True),
        ("car", "red car", False),
        ("kite", "", False),
    ]
    assert [(word.text, word.used) for word in found.words] == [("KIM", True), ("|", False)]
    assert [(said.text, said.used) for said in found.captions] == [("one", True), ("two", False)]
    assert (found.width, found.height, found.waiting, found.failed) == (64, 48, (), ())


def test_a_context_that_the_run_did_not_read_was_not_appended():
    config = ContextConfig(order=("ocr",))
    found = findings({"objects": objects("person"), "caption": caption("one")}, config, ())
    assert not any(thing.used for thing in (*found.objects, *found.captions))


def test_a_stage_that_failed_and_one_that_has_not_looked_are_told_apart():
    failed = findings({"objects": Failure(kind=FailureKind.PERMANENT, reason="damaged")}, ContextConfig(), ("ocr",))
    assert [(trouble.stage, trouble.reason) for trouble in failed.failed] == [("objects", "damaged")]
    assert failed.waiting == ()
    assert findings({"objects": objects()}, ContextConfig(), ("objects", "ocr")).waiting == ("ocr",)


def test_a_stage_that_is_not_ours_is_shown_as_json():
    found = findings({"size": SizeValue(width=3, height=4)}, ContextConfig(), ("size",))
    assert found.others == {"size": '{"width": 3, "height": 4}'}


def test_an_entry_has_its_filters_types_and_the_lowest_score():
    marks = {GOLD: (GOOD,), T: (BAD,), IT: (GOOD.model_copy(update={"score": 0.7, "right": True}),)}
    known = seen({"objects": Failure(kind=FailureKind.RESOURCE, reason="too large")})
    found = entry(Shown(post(), "test", 3, marks), known)
    assert found.anchor == "test-3"
    assert found.tags == ("right", "changed", "helped", "failed", "failed:objects")
    assert (found.types, found.confidence) == (("LOC", "PER"), 0.7)


@pytest.mark.parametrize(
    ("given", "thumbnail", "problem"),
    [
        (post(picture=None), None, "the picture a is not there"),
        (post(picture=None, image_id=None), None, ""),
        (post(picture=B), None, "too many bytes"),
        (post(), None, "left out of this page"),
        (post(), Thumbnail("", "damaged picture"), "damaged picture"),
        (post(), Thumbnail("data:x"), ""),
    ],
)
def test_why_a_picture_is_not_shown(given: Post, thumbnail: Thumbnail | None, problem: str):
    known = seen({}, {B: "too many bytes"})
    found = entry(Shown(given, "test", 1, {}), known, {IMAGE.key: thumbnail} if thumbnail else {})
    assert problem in found.problem
    assert bool(found.problem) == bool(problem)
    assert bool(found.picture) == (thumbnail is not None and bool(thumbnail.source))


def test_only_filters_and_orders_that_can_choose_something_are_offered():
    judged = make_gallery([Shown(post(), "test", 1, {GOLD: (GOOD,), T: (BAD,), IT: (BAD,)})], seen({}), {})
    assert [(choice.value, choice.count) for choice in judged.filters] == [
        ("all", 1),
        ("wrong", 1),
        ("right", 0),
        ("waiting", 1),
    ]
    assert [choice.value for choice in judged.sorts] == ["telling", "order"]
    pictures = make_picture_gallery(Path("pictures"), seen({"objects": objects("car"), "ocr": words("a1")}), {})
    assert [choice.value for choice in pictures.filters] == ["all"]
    assert [choice.value for choice in pictures.sorts] == ["order", "unsure", "sure"]
    assert pictures.entries[0].confidence == 0.8


def test_pictures_of_a_folder_go_by_their_path_in_it_and_link_by_content():
    known = seen({"objects": objects("car")}, {B: "not a regular file"})
    first, second = make_picture_gallery(Path("pictures"), known, {}).entries
    assert (first.id, first.anchor) == ("a.png", "a" * 12)
    assert (second.id, second.tags) == ("b.png", ("failed", "failed:reading", "no-picture"))
    assert second.problem == "not a regular file"
