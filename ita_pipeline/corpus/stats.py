"""A dataset in numbers, split by split."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence

from ita_pipeline.corpus.posts import Post
from stages.base import Frozen


class SplitStats(Frozen):
    """Numbers of one split.

    `unseen` counts mentions whose words and type are no mention of train. `named_pictures` counts posts that name
    an image, `pictures` distinct image files. `shown` counts the mentions with a box, `not_shown` those that are
    known to have none, and `boxes` the boxes.
    """

    posts: int
    labelled: int
    words: int
    longest: int
    mentions: int
    types: Mapping[str, int]
    without_mention: int
    unseen: int
    named_pictures: int
    pictures: int
    shown: int
    not_shown: int
    boxes: int


def compute_stats(splits: Mapping[str, Sequence[Post]]) -> dict[str, SplitStats]:
    """Numbers of every split, in order."""
    known = {mention for post in splits.get("train", ()) for mention in _iterate_mentions(post)}
    return {name: _compute_split(posts, known) for name, posts in splits.items()}


def _compute_split(posts: Sequence[Post], known: set[tuple[str, ...]]) -> SplitStats:
    labeled = [post for post in posts if post.gold is not None]
    types = Counter(span.type for post in labeled for span in post.gold or ())
    boxes = [span.boxes for post in labeled for span in post.gold or () if span.boxes is not None]
    return SplitStats(
        posts=len(posts),
        labelled=len(labeled),
        words=sum(len(post.words) for post in posts),
        longest=max((len(post.words) for post in posts), default=0),
        mentions=types.total(),
        types=dict(sorted(types.items())),
        without_mention=sum(not post.gold for post in labeled),
        unseen=sum(mention not in known for post in labeled for mention in _iterate_mentions(post)),
        named_pictures=sum(bool(post.pictures) for post in posts),
        pictures=len({picture.file for post in posts for picture in post.pictures} - {None}),
        shown=sum(map(bool, boxes)),
        not_shown=sum(not of_mention for of_mention in boxes),
        boxes=sum(map(len, boxes)),
    )


def _iterate_mentions(post: Post) -> Iterator[tuple[str, ...]]:
    """Each mention as its type and its case-folded words."""
    for span in post.gold or ():
        yield (span.type, *(word.casefold() for word in post.words[span.start : span.end]))
