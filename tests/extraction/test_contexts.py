"""Tests of the contexts of posts: which stages run for them, imported contexts, and reasons for missing ones."""

from __future__ import annotations

from pathlib import Path

import pytest

from ita_pipeline.cache.store import Store
from ita_pipeline.core.errors import UsageError
from ita_pipeline.core.progress import NoProgress
from ita_pipeline.corpus.contexts import ContextConfig
from ita_pipeline.corpus.posts import Picture, Post
from ita_pipeline.engines.executor import InProcessExecutor
from ita_pipeline.engines.local import LocalEngine
from ita_pipeline.extraction.contexts import make_contexts, plan_contexts, read_contexts
from ita_pipeline.extraction.items import PostSource
from tests.support.fakes import DoubleStage, SizeStage, draw

STAGES = [SizeStage(), DoubleStage()]


def post(id: str, image: Path) -> Post:
    text = Post.from_text(f"post {id}")
    return Post(id, text.text, text.words, text.offsets, pictures=(Picture(image.name, image),))


def test_only_the_stages_of_the_contexts_and_those_that_they_read_run(tmp_path: Path):
    source = PostSource((post("1", draw(Path("a.png"))),))
    for order, names in (("size", ["size"]), ("double", ["size", "double"])):
        plan = plan_contexts(source, STAGES, ContextConfig(order=(order,)), Store(tmp_path / "store"))
        assert [part.stage.name for part in plan.plan.stages] == names
    assert plan_contexts(source, STAGES, ContextConfig(order=()), Store(tmp_path / "store")).plan.clean


def test_imported_contexts_replace_computed_ones(tmp_path: Path):
    captions, store = tmp_path / "captions.txt", Store(tmp_path / "store")
    captions.write_text("a.jpg :a red sign\n")
    posts = (post("1", draw(Path("a.png"))), post("2", draw(Path("b.png"))))
    config = ContextConfig(order=("caption", "size"))
    plan = plan_contexts(PostSource(posts), STAGES, config, store, captions)
    assert (plan.captions, plan.captioned, plan.parts) == ("captions.txt", {"a.png": "a.jpg"}, ("caption",))
    contexts = make_contexts(plan, store, LocalEngine(InProcessExecutor()), NoProgress())
    assert [sorted(contexts.results(each)[0]) for each in posts] == [["caption", "size"], ["size"]]
    assert contexts.render(posts[0])[0] == "a red sign"
    assert read_contexts(plan, store).by_file == contexts.by_file


def captioned(tmp_path: Path, pictures: list[str], captions: str) -> list[tuple[str, ...]]:
    """The captions of posts, each with one of these pictures."""
    posts = [Post(name, "hi", ("hi",), ((0, 2),), pictures=(Picture(name),)) for name in pictures]
    file, store, config = tmp_path / "captions.txt", Store(tmp_path / "store"), ContextConfig(order=("caption",))
    file.write_text(captions)
    plan = plan_contexts(PostSource(tuple(posts)), [], config, store, file)
    contexts = make_contexts(plan, store, LocalEngine(InProcessExecutor()), NoProgress())
    return [contexts.render(post) for post in posts]


def test_images_of_equal_stem_have_captions_of_their_own(tmp_path: Path):
    names = ["train/1.jpg", "dev/1.jpg", "test/1.jpg", "test/1.png"]
    lines = "train/1.jpg :a\ndev/1.jpg :b\ntest/1.png :d\ntest/1.png :e\n"
    assert captioned(tmp_path, names, lines) == [("a",), ("b",), (), ("d", "e")]


def test_a_caption_that_may_be_of_two_images_is_refused(tmp_path: Path):
    with pytest.raises(UsageError, match=r"1\.jpg may be train/1\.jpg or dev/1\.jpg"):
        captioned(tmp_path, ["train/1.jpg", "dev/1.jpg"], "1.jpg :a\n")


def test_every_image_of_a_post_is_looked_at(tmp_path: Path):
    captions, store = tmp_path / "captions.txt", Store(tmp_path / "store")
    captions.write_text("a.png :one\nb.png :two\n")
    files = [draw(Path("a.png"), "red", (3, 4)), draw(Path("b.png"), "blue", (5, 6)), Path("bad.png")]
    files[2].write_bytes(b"no image")
    post = Post("1", "hi", ("hi",), ((0, 2),), pictures=tuple(Picture(file.name, file) for file in files))
    plan = plan_contexts(PostSource((post,)), STAGES, ContextConfig(order=("size", "caption")), store, captions)
    contexts = make_contexts(plan, store, LocalEngine(InProcessExecutor()), NoProgress())
    assert [sorted(results) for results in contexts.results(post)] == [
        ["caption", "size"],
        ["caption", "size"],
        ["size"],
    ]
    assert contexts.render(post)[-2:] == ("one", "two")
    assert "not read" in contexts.failure_reasons([post])[post]


def test_missing_contexts_have_a_reason(tmp_path: Path):
    store = Store(tmp_path / "store")
    Path("bad.png").write_bytes(b"no image")
    posts = [post("1", draw(Path("a.png"))), post("2", Path("bad.png")), post("3", Path("gone.png"))]
    plan = plan_contexts(PostSource(tuple(posts)), STAGES, ContextConfig(order=("size",)), store)
    contexts = make_contexts(plan, store, LocalEngine(InProcessExecutor()), NoProgress())
    reasons = contexts.failure_reasons(posts)
    assert list(reasons) == posts[1:]
    assert all(reason.startswith("its picture was not read: ") for reason in reasons.values())
