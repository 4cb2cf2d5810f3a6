"""The plan: which stage has to look at which picture or post, and why. Runs, dry runs and reports ask it alone."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ita_pipeline.cache.database import State
from ita_pipeline.cache.index import Damage
from ita_pipeline.cache.keys import StageKey, stage_key
from ita_pipeline.cache.reasons import Cause, Reason, changes
from ita_pipeline.cache.records import MEND
from ita_pipeline.cache.store import Store
from ita_pipeline.core.errors import CorruptCacheError
from ita_pipeline.sources.refs import ItemRef
from stages.base import Failure, FailureKind, Stage, Subject

Reasons = tuple[Reason, ...]


@dataclass(frozen=True, slots=True)
class Wishes:
    """What is wanted beyond doing what is stale.

    Failures of the kinds in `retry` are tried again; stages in `refresh` do everything again, and with them those
    that read them; at most `limit` pictures, and as many posts, are worked on, and the others wait.
    """

    retry: frozenset[FailureKind] = frozenset()
    refresh: frozenset[str] = frozenset()
    limit: int | None = None


@dataclass(frozen=True, slots=True)
class Stale:
    """An item that a stage has to look at, and everything that makes it so."""

    item: ItemRef
    reasons: Reasons


@dataclass(frozen=True, slots=True)
class Failed:
    """An item that a stage could not read, remembered so that it is not tried on every run."""

    item: ItemRef
    failure: Failure


@dataclass(frozen=True, slots=True)
class StagePlan:
    """What one stage has to do. `seconds` is what an item took on average, where that is known.

    `waiting` are stale items that a limit keeps for another time; `damage` are lines of the cache that are not
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
        """How many stale items have each reason."""
        return Counter(str(reason) for stale in self.stale for reason in stale.reasons)

    @property
    def forecast(self) -> float | None:
        """Seconds that the stale items will take, or nothing where none was ever measured."""
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
    """A stage's plan in the making: stale and failed items by their position in `items`."""

    stage: Stage[Any]
    key: StageKey
    items: Sequence[ItemRef]
    stale: dict[int, Reasons] = field(default_factory=dict)
    failed: dict[int, Failure] = field(default_factory=dict)
    damage: tuple[Damage, ...] = ()


def make_plan(
    stages: Sequence[Stage[Any]],
    images: Sequence[ItemRef],
    store: Store,
    wishes: Wishes | None = None,
    posts: Sequence[ItemRef] = (),
) -> Plan:
    """Compare what is wanted with what the store has.

    Each stage looks at the items of its subject, and those of equal content are one. Keys are taken of all
    `stages`, so those that one of them reads must be among them; so must the pictures of `posts` be in `images`.

    Raises:
        StageError: a model or tool that a stage needs is missing.
        CorruptCacheError: a failure was damaged after it had been written.
        UserError: a shared cache is set, and is not there or may not be read.
    """
    wishes = wishes or Wishes()
    keys = stage_keys(stages)
    items = {Subject.PICTURE: distinct(images), Subject.POST: distinct(posts)}
    drafts: dict[str, Draft] = {}
    for subject, some in items.items():
        store.index.choose([item.key for item in some])
        own: dict[str, Draft] = {}
        for stage in in_order(stages):
            if stage.subject is subject:
                upstream = [moved(drafts[name], some) for name in stage.reads]
                store.bring(stage, keys[stage.name])
                drafts[stage.name] = own[stage.name] = draft(stage, keys[stage.name], some, upstream, store, wishes)
        explain_all(own, keys, some, store)
    now = admitted(drafts, items, wishes.limit)
    return Plan(tuple(finished(drafts[s.name], now, store) for s in in_order(stages)))


def distinct(items: Sequence[ItemRef]) -> list[ItemRef]:
    return list({item.key: item for item in items}.values())


def moved(above: Draft, items: Sequence[ItemRef]) -> Draft:
    """A stage's draft as those see it who look at `items`: of a post, what became of its picture."""
    if above.items is items:
        return above
    places = {item.key: number for number, item in enumerate(above.items)}
    seen = {n: places.get(item.image.key) for n, item in enumerate(items) if item.image is not None}
    stale = {n: above.stale[place] for n, place in seen.items() if place in above.stale}
    failed = {n: above.failed[place] for n, place in seen.items() if place in above.failed}
    return Draft(above.stage, above.key, items, stale, failed)


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
    items: Sequence[ItemRef],
    upstream: Sequence[Draft],
    store: Store,
    wishes: Wishes,
) -> Draft:
    """What a stage has to do; items without any record are stale with no reason yet."""
    folder = store.folder(key)
    store.index.refresh(folder)
    made = Draft(stage, key, items, damage=store.index.damage(folder))
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
    known = store.results(stage, key, [items[number].key for number, _ in again])
    for number, state in again:
        failure = known[items[number].key].result
        assert isinstance(failure, Failure)
        if state.kind in wishes.retry:
            made.stale[number] = (Reason(Cause.RETRY, f"({failure.reason})"),)
        else:
            made.failed[number] = failure
    if stage.name in wishes.refresh:
        made.stale |= {number: (Reason(Cause.REFRESH),) for number in range(len(items)) if number not in made.stale}
        made.failed.clear()
    for above in upstream:
        renewed = [n for n, reasons in above.stale.items() if any(r.cause is Cause.REFRESH for r in reasons)]
        for number in renewed:
            made.stale[number] = (Reason(Cause.REFRESH, f"of {above.stage.name}, which it reads"),)
            made.failed.pop(number, None)
    return made


def explain_all(
    drafts: Mapping[str, Draft], keys: Mapping[str, StageKey], items: Sequence[ItemRef], store: Store
) -> None:
    """Find the reasons of every item that has none yet."""

    def described(stage: str, hexdigest: str) -> StageKey | None:
        current = keys.get(stage)
        return current if current and current.hexdigest == hexdigest else store.described(stage, hexdigest)

    for made in drafts.values():
        unexplained = {number for number, reasons in made.stale.items() if not reasons}
        damaged = {found.image for found in made.damage}
        for number in [number for number in unexplained if items[number].key in damaged]:
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
        changed = seen_before(made, unexplained, store)
        new = (Reason(Cause.NEW if made.stage.subject is Subject.PICTURE else Cause.NEW_POST),)
        made.stale |= {n: contents(items[n]) if n in changed else new for n in unexplained}


def contents(item: ItemRef) -> Reasons:
    """What of an item is another than before."""
    return tuple(Reason(Cause.PART, part) for part in item.changed) or (Reason(Cause.CONTENT),)


def seen_before(made: Draft, numbers: set[int], store: Store) -> set[int]:
    """Items in whose place another content lay that this stage has worked on."""
    before = {number: made.items[number].before for number in numbers if made.items[number].before}
    found: set[str] = set()
    for key in [made.key, *store.other_keys(made.key)] if before else ():
        found |= {entry.image for entry in store.index.entries(store.folder(key), list(before.values()))}
    return {number for number, key in before.items() if key in found}


def admitted(
    drafts: Mapping[str, Draft], items: Mapping[Subject, Sequence[ItemRef]], limit: int | None
) -> Mapping[Subject, set[int]] | None:
    """The first items, up to the limit, that any stage has to look at; nothing where there is no limit.

    A post is not among them where its picture has to wait for a stage that is read.
    """
    if limit is None:
        return None
    now: dict[Subject, set[int]] = {}
    for subject, some in items.items():
        own = [made for made in drafts.values() if made.stage.subject is subject]
        above = {name: moved(drafts[name], some) for made in own for name in made.stage.reads}
        waits = {
            number
            for made in above.values()
            if made.stage.subject is not subject
            for number in made.stale
            if not picture_admitted(some[number], items[Subject.PICTURE], now[Subject.PICTURE])
        }
        now[subject] = set(sorted({n for made in own for n in made.stale} - waits)[:limit])
    return now


def picture_admitted(item: ItemRef, images: Sequence[ItemRef], now: set[int]) -> bool:
    return any(item.image is not None and images[number].key == item.image.key for number in now)


def finished(made: Draft, now: Mapping[Subject, set[int]] | None, store: Store) -> StagePlan:
    items = made.items
    numbers = [number for number in sorted(made.stale) if now is None or number in now[made.stage.subject]]
    return StagePlan(
        stage=made.stage,
        key=made.key,
        fresh=len(items) - len(made.stale) - len(made.failed),
        failed=tuple(Failed(items[number], made.failed[number]) for number in sorted(made.failed)),
        stale=tuple(Stale(items[number], made.stale[number]) for number in numbers),
        waiting=len(made.stale) - len(numbers),
        seconds=measured(made, store),
        damage=made.damage,
    )


def measured(made: Draft, store: Store) -> float | None:
    """Mean seconds an item under this key, else under the one used last."""
    for key in [made.key, *store.other_keys(made.key)] if made.stale else ():
        seconds = store.index.summary(store.folder(key)).seconds
        if seconds is not None:
            return seconds
    return None
