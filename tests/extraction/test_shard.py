"""Shards divide everything, whatever its order, so that each thing is done by exactly one job."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ita_pipeline.cache.store import Store
from ita_pipeline.core.errors import UsageError
from ita_pipeline.corpus.posts import Post
from ita_pipeline.extraction.items import PostSource, identify_images, plan_images
from ita_pipeline.extraction.options import Shard
from ita_pipeline.sources.local import LocalFile
from stages.base import Subject
from tests.support.fakes import SizeStage, draw, ita_here

OCR = ("--preset", "bundled", "--stage", "ocr")


class PostStage(SizeStage):
    """Reads posts, with their pictures."""

    name = "posts"
    subject = Subject.POST
    sees_picture = True


@settings(deadline=None)
@given(st.lists(st.binary(), min_size=1), st.integers(1, 40))
def test_every_key_is_in_exactly_one_shard(things: list[bytes], of: int):
    shards = [Shard(number, of) for number in range(1, of + 1)]
    for thing in things:
        key = hashlib.sha256(thing).hexdigest()
        assert sum(shard.contains(key) for shard in shards) == 1
        assert sum(shard.contains_address(thing) for shard in shards) == 1


def test_shards_are_of_about_the_same_size():
    keys = [hashlib.sha256(str(number).encode()).hexdigest() for number in range(4000)]
    sizes = [sum(map(Shard(number, 16).contains, keys)) for number in range(1, 17)]
    assert min(sizes) > 180
    assert max(sizes) < 320


@pytest.mark.parametrize("text", ["0/16", "17/16", "1/0", "-1/4", "3", "a/b", "1.5/2", "1/99999999999", ""])
def test_what_is_no_shard_is_told(text: str):
    with pytest.raises(UsageError, match="shard"):
        Shard.parse(text)


@settings(max_examples=20, deadline=None, derandomize=True)
@given(st.permutations(range(9)))
def test_a_post_and_its_picture_are_in_the_same_shard_in_any_order(order: list[int]):
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


def test_jobs_side_by_side_do_everything_once_and_their_results_are_merged():
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


def test_a_wrong_shard_is_one_sentence():
    answer = ita_here("extract", "images", *OCR, "--shard", "17/16")
    assert answer.code == 2
    assert "there is no shard 17/16" in answer.err
    assert ita_here("status", "example", *OCR, "--shard", "1/2").code == 2
