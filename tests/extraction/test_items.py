"""Tests of the items of an extraction: the keys of posts, and the shards of images and posts."""

from __future__ import annotations

import json
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from ita_pipeline.cache.store import Store
from ita_pipeline.corpus.posts import Post, Span
from ita_pipeline.extraction.items import PostSource, identify_images, make_post_ref, plan_images
from ita_pipeline.extraction.options import Shard
from ita_pipeline.sources.local import LocalFile
from ita_pipeline.sources.refs import ImageRef
from stages.base import Subject
from tests.support.fakes import SizeStage, draw, ita_here

OCR = ("--preset", "bundled", "--stage", "ocr")


class PostStage(SizeStage):
    """Reads posts, with their pictures."""

    name = "posts"
    subject = Subject.POST
    sees_picture = True


@settings(max_examples=20, deadline=None, derandomize=True)
@given(st.permutations(range(9)))
def test_a_post_and_its_image_are_in_the_same_shard_in_any_order(order: list[int]):
    paths = [draw(Path(f"{number}.png"), (number, 9, 9)) for number in range(6)]  # type: ignore[arg-type]
    bad = Path("gone.png")
    posts = [Post.from_text(f"post {n}", paths[n] if n < 6 else None, id=str(n)) for n in order]
    posts += [Post.from_text("the same picture", paths[0], id="10")]
    seen: list[str] = []
    pictures: list[str] = []
    unreadable = 0
    for number in range(1, 5):
        source = PostSource(tuple(posts))
        places = [LocalFile(path) for path in (*paths, bad)]
        stages = [SizeStage(), PostStage()]
        store = Store(Path("store"))
        plan = plan_images(identify_images(places, store), stages, store, source=source, shard=Shard(number, 4))
        seen += [post.id for post in plan.posts]
        pictures += [image.key for image in plan.images]
        unreadable += len(plan.unreadable)
        own = {image.key for image in plan.images}
        assert all(item.image is None or item.image.key in own for item in plan.posts.values())
    assert sorted(seen) == sorted(post.id for post in posts)
    assert len(pictures) == len({*pictures}) == 6
    assert unreadable == 1


def test_jobs_with_shards_process_each_image_once_and_their_results_are_merged():
    for number in range(8):
        draw(Path(f"images/{number}.png"), (number, 0, 0))  # type: ignore[arg-type]
    done = 0
    for number in (1, 2):
        answer = ita_here(
            "extract", "images", *OCR, "--shard", f"{number}/2", "--workspace", f"job{number}", "--json"
        )
        (stage,) = json.loads(answer.out)["stages"]
        done += stage["done"]
        assert ita_here("cache", "push", "carried", "--workspace", f"job{number}").code == 0
        assert ita_here("cache", "pull", "carried", "--workspace", "all").code == 0
        part = ita_here("status", "images", *OCR, "--shard", f"{number}/2", "--workspace", "all", "--json")
        assert json.loads(part.out)["clean"]
    assert done == 8
    whole = json.loads(ita_here("status", "images", *OCR, "--workspace", "all", "--json").out)
    assert (whole["clean"], whole["stages"][0]["fresh"]) == (True, 8)


texts = st.lists(st.sampled_from(("rain", "Marlow", "goal")), min_size=1, max_size=5).map(" ".join)


def labeled(text: str) -> Post:
    post = Post.from_text(text)
    return Post(post.id, post.text, post.words, post.offsets, gold=(Span(0, 1, "LOC"),))


@settings(deadline=None)
@given(text=texts, other=texts)
def test_the_key_of_a_post_depends_on_text_and_image_but_not_on_labels(text: str, other: str) -> None:
    key = make_post_ref(labeled(text), (), ()).key
    assert key == make_post_ref(Post.from_text(text), (), ()).key
    assert (key == make_post_ref(Post.from_text(other), (), ()).key) == (text == other)
    assert key != make_post_ref(labeled(text), [ImageRef("0" * 64, LocalFile(Path("a.png")))], ()).key


def test_a_source_has_no_training_posts_by_default() -> None:
    assert PostSource((Post.from_text("rain"),)).train == ()
