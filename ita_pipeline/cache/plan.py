"""The plan: which stage has to look at which image, and why. Runs, dry runs and reports ask this one object."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ita_pipeline.cache.index import Damage, State
from ita_pipeline.cache.keys import StageKey, stage_key
from ita_pipeline.cache.reasons import Cause, Reason, changes
from ita_pipeline.cache.segments import MEND
from ita_pipeline.cache.store import Store
from ita_pipeline.errors import CorruptCacheError
from ita_pipeline.images import ImageRef
from stages.base import Failure, FailureKind, Stage

Reasons = tuple[Reason, ...]


@dataclass(frozen=True, slots=True)
class Wishes:
    """What is wanted beyond doing what is stale.

    Failures of the kinds in `retry` are tried again; stages in `refresh` do everything again, and with them those
    that read them; at most `limit` images are worked on, and the others wait.
    """

    retry: frozenset[FailureKind] = frozenset()
    refresh: frozenset[str] = frozenset()
    limit: int | None = None


@dataclass(frozen=True, slots=True)
class Stale:
    """An image that a stage has to look at, and everything that makes it so."""

    image: ImageRef
    reasons: Reasons


@dataclass(frozen=True, slots=True)
class Failed:
    """An image that a stage could not read, remembered so that it is not tried on every run."""

    image: ImageRef
    failure: Failure


@dataclass(frozen=True, slots=True)
class StagePlan:
    """What one stage has to do. `seconds` is what an image took on average, where that is known.

    `waiting` are stale images that a limit keeps for another time; `damage` are lines of the cache that are not
    what was written there.
    """

    stage: Stage[Any]
    key: StageKey
    fresh: int
    failed: tuple[Failed, ...] = ()
    stale: tuple[Stale, ...] = ()
    waiting: int = 0
    seconds: float | None = None
    damage: tuple[Damage, ...] = ()

    @property
    def reasons(self) -> Counter[str]:
        """How many stale images have each reason."""
        return Counter(str(reason) for stale in self.stale for reason in stale.reasons)

    @property
    def forecast(self) -> float | None:
        """Seconds that the stale images will take, or nothing where none was ever measured."""
        if not self.stale:
            return 0.0
        return None if self.seconds is None else self.seconds * len(self.stale)

    @property
    def anew(self) -> bool:
        """Whether results replace earlier ones under the same key."""
        again = {Cause.REFRESH, Cause.RETRY}
        return any(reason.cause in again for stale in self.stale for reason in stale.reasons)


@dataclass(frozen=True, slots=True)
class Plan:
    """All stages in the order in which they can run: each after those that it reads."""

    stages: tuple[StagePlan, ...]

    @property
    def keys(self) -> dict[str, StageKey]:
        return {plan.stage.name: plan.key for plan in self.stages}

    @property
    def stale(self) -> bool:
        return any(plan.stale or plan.waiting for plan in self.stages)

    @property
    def clean(self) -> bool:
        """Whether there is nothing to do, nothing that failed and nothing damaged."""
        return not self.stale and not any(plan.failed or plan.damage for plan in self.stages)

    def check(self) -> None:
        """Raise `CorruptCacheError` where the cache is damaged: that is for a person to look at first."""
        damage = [found for plan in self.stages for found in plan.damage]
        if damage:
            more = f", and {len(damage) - 1} more" if len(damage) > 1 else ""
            raise CorruptCacheError(
                f"the cache is damaged: {damage[0].segment}, line {damage[0].line}, is not what was written there"
                + more,
                MEND,
            )


@dataclass(slots=True)
class Draft:
    """A stage's plan in the making: stale and failed images by their position."""

    stage: Stage[Any]
    key: StageKey
    stale: dict[int, Reasons] = field(default_factory=dict)
    failed: dict[int, Failure] = field(default_factory=dict)
    damage: tuple[Damage, ...] = ()


def make_plan(
    stages: Sequence[Stage[Any]], images: Sequence[ImageRef], store: Store, wishes: Wishes | None = None
) -> Plan:
    """Compare what is wanted with what the store has.

    Images of equal content are one image. Keys are taken of all `stages`, so those that one of them reads must
    be among them.

    Raises:
        StageError: a model or tool that a stage needs is missing.
        CorruptCacheError: a failure was damaged after it had been written.
    """
    wishes = wishes or Wishes()
    distinct = list({image.key: image for image in images}.values())
    store.index.choose([image.key for image in distinct])
    keys = stage_keys(stages)
    drafts: dict[str, Draft] = {}
    for stage in in_order(stages):
        upstream = [drafts[name] for name in stage.reads]
        drafts[stage.name] = draft(stage, keys[stage.name], distinct, upstream, store, wishes)
    explain_all(drafts, keys, distinct, store)
    now = admitted(drafts, wishes.limit)
    return Plan(tuple(finished(made, distinct, now, store) for made in drafts.values()))


def stage_keys(stages: Sequence[Stage[Any]]) -> dict[str, StageKey]:
    """The key of each stage as things are now; those that one of them reads must be among them.

    Raises:
        StageError: a model or tool that a stage needs is missing.
    """
    keys: dict[str, StageKey] = {}
    for stage in in_order(stages):
        keys[stage.name] = stage_key(stage, keys)
    return keys


def in_order(stages: Sequence[Stage[Any]]) -> list[Stage[Any]]:
    """Each stage after the ones it reads; otherwise in the order given."""
    waiting, ordered = list(stages), []
    while waiting:
        names = {stage.name for stage in waiting}
        ready = [stage for stage in waiting if not names & set(stage.reads)]
        if not ready:
            raise ValueError(f"stages read each other in a circle: {', '.join(sorted(names))}")
        ordered += ready
        waiting = [stage for stage in waiting if stage not in ready]
    return ordered


def draft(
    stage: Stage[Any],
    key: StageKey,
    images: Sequence[ImageRef],
    upstream: Sequence[Draft],
    store: Store,
    wishes: Wishes,
) -> Draft:
    """What a stage has to do; images without any record are stale with no reason yet."""
    folder = store.folder(key)
    store.index.refresh(folder)
    made = Draft(stage, key, damage=store.index.damage(folder))
    again: list[tuple[int, State]] = []
    for number, state in store.index.unfinished(folder):
        cause = next((above for above in upstream if number in above.failed), None)
        if cause is not None:
            failure = cause.failed[number]
            made.failed[number] = Failure(kind=failure.kind, reason=f"{cause.stage.name}: {failure.reason}")
        elif state is None:
            made.stale[number] = ()
        else:
            again.append((number, state))
    known = store.results(stage, key, [images[number].key for number, _ in again])
    for number, state in again:
        failure = known[images[number].key].result
        assert isinstance(failure, Failure)
        if state.kind in wishes.retry:
            made.stale[number] = (Reason(Cause.RETRY, f"({failure.reason})"),)
        else:
            made.failed[number] = failure
    if stage.name in wishes.refresh:
        made.stale |= {
            number: (Reason(Cause.REFRESH),) for number in range(len(images)) if number not in made.stale
        }
        made.failed.clear()
    for above in upstream:
        renewed = [n for n, reasons in above.stale.items() if any(r.cause is Cause.REFRESH for r in reasons)]
        for number in renewed:
            made.stale[number] = (Reason(Cause.REFRESH, f"of {above.stage.name}, which it reads"),)
            made.failed.pop(number, None)
    return made


def explain_all(
    drafts: Mapping[str, Draft], keys: Mapping[str, StageKey], images: Sequence[ImageRef], store: Store
) -> None:
    """Find the reasons of every image that has none yet."""

    def described(stage: str, hexdigest: str) -> StageKey | None:
        current = keys.get(stage)
        return current if current and current.hexdigest == hexdigest else store.described(stage, hexdigest)

    for made in drafts.values():
        unexplained = {number for number, reasons in made.stale.items() if not reasons}
        damaged = {found.image for found in made.damage}
        for number in [number for number in unexplained if images[number].key in damaged]:
            made.stale[number] = (Reason(Cause.CORRUPT),)
            unexplained.discard(number)
        for other in store.other_keys(made.key) if unexplained else ():
            folder = store.folder(other)
            store.index.refresh(folder)
            seen = {n: state for n, state in store.index.known(folder).items() if n in unexplained}
            if seen:
                reasons = changes(other, made.key, described)
                worse = (*reasons, Reason(Cause.FAILED))
                made.stale |= {n: reasons if state is State.VALUE else worse for n, state in seen.items()}
                unexplained -= seen.keys()
            if not unexplained:
                break
        changed = seen_before(made, images, unexplained, store)
        new, content = (Reason(Cause.NEW),), (Reason(Cause.CONTENT),)
        made.stale |= {number: content if number in changed else new for number in unexplained}


def seen_before(made: Draft, images: Sequence[ImageRef], numbers: set[int], store: Store) -> set[int]:
    """Images in whose place another content lay that this stage has worked on."""
    before = {number: images[number].before for number in numbers if images[number].before}
    found: set[str] = set()
    for key in [made.key, *store.other_keys(made.key)] if before else ():
        found |= {entry.image for entry in store.index.entries(store.folder(key), list(before.values()))}
    return {number for number, key in before.items() if key in found}


def admitted(drafts: Mapping[str, Draft], limit: int | None) -> set[int] | None:
    """The first images, up to the limit, that any stage has to look at; nothing where there is no limit."""
    if limit is None:
        return None
    return set(sorted({number for made in drafts.values() for number in made.stale})[:limit])


def finished(made: Draft, images: Sequence[ImageRef], now: set[int] | None, store: Store) -> StagePlan:
    numbers = [number for number in sorted(made.stale) if now is None or number in now]
    return StagePlan(
        stage=made.stage,
        key=made.key,
        fresh=len(images) - len(made.stale) - len(made.failed),
        failed=tuple(Failed(images[number], made.failed[number]) for number in sorted(made.failed)),
        stale=tuple(Stale(images[number], made.stale[number]) for number in numbers),
        waiting=len(made.stale) - len(numbers),
        seconds=measured(made, store),
        damage=made.damage,
    )


def measured(made: Draft, store: Store) -> float | None:
    """Mean seconds an image under this key, else under the one used last."""
    for key in [made.key, *store.other_keys(made.key)] if made.stale else ():
        seconds = store.index.summary(store.folder(key)).seconds
        if seconds is not None:
            return seconds
    return None
