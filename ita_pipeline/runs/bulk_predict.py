"""Prediction at scale: posts come and mentions go bit by bit, in memory that does not grow, and nothing twice."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from ita_pipeline.core.iteration import batched
from ita_pipeline.corpus.posts import Post
from ita_pipeline.engines.base import Engine
from ita_pipeline.engines.factory import open_engine
from ita_pipeline.engines.ray.cluster import RayPool, connected
from ita_pipeline.extraction.options import Listener
from ita_pipeline.extraction.posts import as_item
from ita_pipeline.runs.part_files import Answered, Parts, write_part
from ita_pipeline.runs.predictions import Asked
from ita_pipeline.runs.predictor import Predictor, troubles
from ita_pipeline.sources.refs import ImageRef

PART = 1024

# Actors are started anew where the next posts bring stale pictures, so there should be many at once.
AT_ONCE, AT_ONCE_WITH_RAY = PART, 16 * PART

Write = Callable[[Sequence[Asked]], None]


@dataclass(frozen=True, slots=True)
class Predicted:
    """Counts of posts: answered now, answered before (or twice there), and now without all that belongs to them."""

    now: int
    before: int
    failed: int


def predict_into(
    parts: Parts,
    posts: Iterable[Post],
    predictor: Predictor,
    ray: RayPool | None,
    listener: Listener,
    failed: Callable[[str, str], None] = lambda *_: None,
) -> Predicted:
    """Answer the posts that have no answer in `parts` yet; `failed` is told the id of a post, and what is amiss.

    Raises:
        As `Predictor.predict_all`, and `MissingError` or `UsageError` where Ray does not answer.
        CorruptCacheError: a part, or the cache, is damaged.
        OSError: a part cannot be written; those that are there stay.
    """
    now = before = bad = told = 0
    answered = Answered(parts)
    size = AT_ONCE if ray is None else AT_ONCE_WITH_RAY
    with tagging(parts, predictor, ray, listener) as (engine, write, rest):
        for some in batched(enumerate(posts, 1), size):
            plan = predictor.plan([post for _, post in some])
            pictures = {image.path: image for image in plan.pictures.images}
            known = {number: (post.id, key_of(post, pictures)) for number, post in some}
            there = answered.among(list(known.values()))
            firsts = {identity: number for number, identity in reversed(known.items()) if identity not in there}
            new = [(number, post) for number, post in some if firsts.get(known[number]) == number]
            before += len(some) - len(new)
            if not new:
                continue
            if len(new) < len(some):
                plan = predictor.plan([post for _, post in new])
            if plan.plan.stale:
                rest()
            looked = predictor.look(plan, listener, engine)
            reasons = troubles([post for _, post in new], looked)
            asked = [
                Asked(post, looked.of(post), reasons.get(post, ""), number, known[number][1])
                for number, post in new
            ]
            for chunk in batched(asked, PART):
                write(chunk)
            for one in asked:
                if one.failed:
                    bad += 1
                    failed(one.post.id, one.failed)
            for note in predictor.notes[told:]:
                listener.say(note)
            told = len(predictor.notes)
            now += len(new)
            answered.add(iter(firsts))
    answered.close()
    return Predicted(now, before, bad)


def key_of(post: Post, pictures: Mapping[Path | None, ImageRef]) -> str:
    """A digest of a post's text and of its picture's content, where the run looks at pictures."""
    image = pictures.get(post.picture) if post.picture is not None else None
    return as_item(post, image, ()).key


@contextmanager
def tagging(
    parts: Parts, predictor: Predictor, ray: RayPool | None, listener: Listener
) -> Iterator[tuple[Engine | None, Write, Callable[[], None]]]:
    """The engine for pictures, what finds mentions and writes them, and what lets go of its actors for a while."""
    if ray is None:
        yield None, lambda chunk: write_part(predictor, parts, chunk), lambda: None
        return
    from ita_pipeline.runs.ray_predict import Taggers

    with (
        open_engine(ray, predictor.limits, listener.say) as engine,
        connected(ray) as nodes,
        Taggers(ray, nodes, predictor, parts) as taggers,
    ):
        yield engine, taggers.write, taggers.rest
