"""The plan: which stage has to process which image or post, and why. Runs, dry runs and reports all obey it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ita_pipeline.cache.database import State
from ita_pipeline.cache.index import Damage
from ita_pipeline.cache.keys import StageKey, sort_stages, stage_keys
from ita_pipeline.cache.reasons import Cause, Reason, find_changes
from ita_pipeline.cache.records import damage_error
from ita_pipeline.cache.store import Store
from ita_pipeline.sources.refs import ItemRef
from stages.base import Failure, FailureKind, Stage, Subject

Reasons = tuple[Reason, ...]


@dataclass(frozen=True, slots=True)
class PlanOptions:
    """What to process beyond what is stale.

    Failures of the kinds in `retry` are tried again. Stages in `refresh` process every item again, and so do the
    stages that read them. At most `limit` images, and as many posts, are processed; the others wait.
    """

    retry: frozenset[FailureKind] = frozenset()
    refresh: frozenset[str] = frozenset()
    limit: int | None = None


@dataclass(frozen=True, slots=True)
class StaleItem:
    """An item that a stage has to process, and all reasons for that."""

    item: ItemRef
    reasons: Reasons


@dataclass(frozen=True, slots=True)
class FailedItem:
    """An item that a stage failed on, recorded so that it is not tried in every run."""

    item: ItemRef
    failure: Failure


@dataclass(frozen=True, slots=True)
class StagePlan:
    """The work of one stage. `seconds` is the mean time per item, where it is known.

    `waiting` counts stale items that a limit postpones; `damage` are damaged lines of the cache.
    """

    stage: Stage[Any]
    key: StageKey
    fresh: int
    failed: tuple[FailedItem, ...] = ()
    stale: tuple[StaleItem, ...] = ()
    waiting: int = 0
    seconds: float | None = None
    damage: tuple[Damage, ...] = ()

    @property
    def reasons(self) -> Counter[str]:
        """The number of stale items by reason."""
        return Counter(str(reason) for stale in self.stale for reason in stale.reasons)

    @property
    def forecast(self) -> float | None:
        """Seconds that the stale items will take, or None where no item was ever measured."""
        if not self.stale:
            return 0.0
        return None if self.seconds is None else self.seconds * len(self.stale)

    @property
    def replaces_records(self) -> bool:
        """Whether results replace earlier ones under the same key."""
        causes = {reason.cause for stale in self.stale for reason in stale.reasons}
        return not causes.isdisjoint({Cause.REFRESH, Cause.RETRY})


@dataclass(frozen=True, slots=True)
class Plan:
    """The plans of all stages in an order in which they can run: each after the stages that it reads."""

    stages: tuple[StagePlan, ...]

    @property
    def keys(self) -> dict[str, StageKey]:
        """The key of each stage by name."""
        return {plan.stage.name: plan.key for plan in self.stages}

    @property
    def stale(self) -> bool:
        """Whether any item is stale, waiting ones included."""
        return any(plan.stale or plan.waiting for plan in self.stages)

    @property
    def clean(self) -> bool:
        """Whether no item is stale, none failed and no record is damaged."""
        return not self.stale and not any(plan.failed or plan.damage for plan in self.stages)

    def check(self) -> None:
        """Refuse a damaged cache, which a person has to look at first.

        Raises:
            CorruptCacheError: a record is damaged.
        """
        damage = [line for plan in self.stages for line in plan.damage]
        if damage:
            more = f", and {len(damage) - 1} more" if len(damage) > 1 else ""
            raise damage_error(f"{damage[0].segment}, line {damage[0].line}", more)


@dataclass(slots=True)
class StageDraft:
    """The unfinished plan of a stage: stale and failed items by their positions in `items`."""

    stage: Stage[Any]
    key: StageKey
    items: Sequence[ItemRef]
    stale: dict[int, Reasons] = field(default_factory=dict[int, Reasons])
    failed: dict[int, Failure] = field(default_factory=dict[int, Failure])
    damage: tuple[Damage, ...] = ()


def make_plan(
    stages: Sequence[Stage[Any]],
    images: Sequence[ItemRef],
    store: Store,
    options: PlanOptions | None = None,
    posts: Sequence[ItemRef] = (),
) -> Plan:
    """Compare the records that are wanted with those in the store.

    Each stage processes the items of its subject; items of equal content are one. `stages` must include the stages
    that they read, and `images` the images of `posts`.

    Raises:
        StageError: a model or tool that a stage needs is missing.
        CorruptCacheError: a failure was damaged after it had been written.
        UserError: a shared cache is set, and is not there or may not be read.
    """
    options = options or PlanOptions()
    keys = stage_keys(stages)
    by_key = {Subject.PICTURE: {i.key: i for i in images}, Subject.POST: {i.key: i for i in posts}}
    items = {subject: list(distinct.values()) for subject, distinct in by_key.items()}
    drafts: dict[str, StageDraft] = {}
    for subject, own_items in items.items():
        store.index.select([item.key for item in own_items])
        own = [stage for stage in sort_stages(stages) if stage.subject is subject]
        for stage in own:
            upstream = [_project(drafts[name], own_items) for name in stage.reads]
            store.fetch(stage, keys[stage.name])
            draft = StageDraft(stage, keys[stage.name], own_items)
            _find_stale(draft, upstream, store, options)
            drafts[stage.name] = draft
        for stage in own:
            _explain(drafts[stage.name], keys, store)
    admitted = _admit(drafts, items, options.limit)
    return Plan(tuple(_finish(drafts[stage.name], admitted, store) for stage in sort_stages(stages)))


def _project(draft: StageDraft, items: Sequence[ItemRef]) -> StageDraft:
    """Move the draft of an upstream stage to the positions of `items`: for a post, those of its image count."""
    if draft.items is items:
        return draft
    positions = {item.key: position for position, item in enumerate(draft.items)}
    of_image = {n: positions.get(item.image.key) for n, item in enumerate(items) if item.image is not None}
    stale = {n: draft.stale[position] for n, position in of_image.items() if position in draft.stale}
    failed = {n: draft.failed[position] for n, position in of_image.items() if position in draft.failed}
    return StageDraft(draft.stage, draft.key, items, stale, failed)


def _find_stale(draft: StageDraft, upstream: Sequence[StageDraft], store: Store, options: PlanOptions) -> None:
    """Find the stale and the failed items of a stage. Items without any record are stale without a reason yet."""
    folder = store.folder(draft.key)
    store.index.refresh(folder)
    draft.damage = store.index.find_damage(folder)
    own_failures: list[int] = []
    for position, state in store.index.find_unfinished(folder):
        cause = next((above for above in upstream if position in above.failed), None)
        if cause is not None:
            failure = cause.failed[position]
            reason = f"{cause.stage.name}: {failure.reason}"
            draft.failed[position] = Failure(kind=failure.kind, reason=reason)
        elif state is None:
            draft.stale[position] = ()
        else:
            own_failures.append(position)
    images = [draft.items[position].key for position in own_failures]
    records = store.results(draft.stage, draft.key, images)
    for position in own_failures:
        failure = records[draft.items[position].key].result
        if not isinstance(failure, Failure):  # another process has written a value since
            continue
        if failure.kind in options.retry:
            draft.stale[position] = (Reason(Cause.RETRY, f"({failure.reason})"),)
        else:
            draft.failed[position] = failure
    if draft.stage.name in options.refresh:
        fresh = [position for position in range(len(draft.items)) if position not in draft.stale]
        draft.stale |= {position: (Reason(Cause.REFRESH),) for position in fresh}
        draft.failed.clear()
    for above in upstream:
        for position, reasons in above.stale.items():
            if any(reason.cause is Cause.REFRESH for reason in reasons):
                draft.stale[position] = (Reason(Cause.REFRESH, f"of {above.stage.name}, which it reads"),)
                draft.failed.pop(position, None)


def _explain(draft: StageDraft, keys: Mapping[str, StageKey], store: Store) -> None:
    """Find the reasons of every stale item that has none yet."""

    def find_key(stage: str, hexdigest: str) -> StageKey | None:
        current = keys.get(stage)
        return current if current and current.hexdigest == hexdigest else store.find_key(stage, hexdigest)

    damaged = {line.image for line in draft.damage}
    unexplained = {position for position, reasons in draft.stale.items() if not reasons}
    corrupt = {position for position in unexplained if draft.items[position].key in damaged}
    draft.stale |= dict.fromkeys(corrupt, (Reason(Cause.CORRUPT),))
    unexplained -= corrupt
    for other in store.other_keys(draft.key) if unexplained else ():
        folder = store.folder(other)
        store.index.refresh(folder)
        states = {n: state for n, state in store.index.find_states(folder).items() if n in unexplained}
        if states:
            reasons = tuple(find_changes(other, draft.key, find_key))
            failed_before = (*reasons, Reason(Cause.FAILED))
            draft.stale |= {n: reasons if state is State.VALUE else failed_before for n, state in states.items()}
            unexplained -= states.keys()
        if not unexplained:
            break
    changed = _find_changed(draft, unexplained, store)
    new = (Reason(Cause.NEW if draft.stage.subject is Subject.PICTURE else Cause.NEW_POST),)
    for n in unexplained:
        parts = tuple(Reason(Cause.PART, part) for part in draft.items[n].changed)
        draft.stale[n] = (parts or (Reason(Cause.CONTENT),)) if n in changed else new


def _find_changed(draft: StageDraft, positions: set[int], store: Store) -> set[int]:
    """Find the items whose earlier content this stage has processed."""
    before = {position: draft.items[position].before for position in positions if draft.items[position].before}
    processed: set[str] = set()
    for key in [draft.key, *store.other_keys(draft.key)] if before else ():
        entries = store.index.find_entries(store.folder(key), list(before.values()))
        processed |= {entry.image for entry in entries}
    return {position for position, key in before.items() if key in processed}


def _admit(
    drafts: Mapping[str, StageDraft], items: Mapping[Subject, Sequence[ItemRef]], limit: int | None
) -> Mapping[Subject, set[int]] | None:
    """Choose the first items, up to the limit, that are stale for any stage, or return None without a limit.

    A post is not chosen where its image has to wait for a stage that is read.
    """
    if limit is None:
        return None
    images = items[Subject.PICTURE]
    admitted: dict[Subject, set[int]] = {}
    for subject, own_items in items.items():
        own = [draft for draft in drafts.values() if draft.stage.subject is subject]
        upstream = {name: drafts[name] for draft in own for name in draft.stage.reads}
        waiting: set[int] = set()
        for draft in upstream.values():
            if draft.stage.subject is not subject:
                ready = {images[position].key for position in admitted[Subject.PICTURE]}
                stale = ((position, own_items[position].image) for position in _project(draft, own_items).stale)
                waiting |= {position for position, image in stale if image is None or image.key not in ready}
        admitted[subject] = set(sorted({n for draft in own for n in draft.stale} - waiting)[:limit])
    return admitted


def _finish(draft: StageDraft, admitted: Mapping[Subject, set[int]] | None, store: Store) -> StagePlan:
    items = draft.items
    own = draft.stale if admitted is None else admitted[draft.stage.subject]
    positions = sorted(draft.stale.keys() & set(own))
    return StagePlan(
        stage=draft.stage,
        key=draft.key,
        fresh=len(items) - len(draft.stale) - len(draft.failed),
        failed=tuple(FailedItem(items[position], draft.failed[position]) for position in sorted(draft.failed)),
        stale=tuple(StaleItem(items[position], draft.stale[position]) for position in positions),
        waiting=len(draft.stale) - len(positions),
        seconds=_mean_seconds(draft, store),
        damage=draft.damage,
    )


def _mean_seconds(draft: StageDraft, store: Store) -> float | None:
    """Mean seconds per item under this key, or else under the key used last."""
    keys = [draft.key, *store.other_keys(draft.key)] if draft.stale else []
    seconds = (store.index.summarize(store.folder(key)).seconds for key in keys)
    return next((mean for mean in seconds if mean is not None), None)
