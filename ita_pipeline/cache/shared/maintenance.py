"""Looking after a shared cache: what `maintenance`, `collection` and `compaction` do for that of a workspace."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ita_pipeline.cache.cleanup import ABANDONED_AFTER, Removal, plan_removal
from ita_pipeline.cache.compaction import Compacted, bring_together, compact_folder
from ita_pipeline.cache.index import Damage
from ita_pipeline.cache.inventory import Checked, Holding
from ita_pipeline.cache.keys import StageKey
from ita_pipeline.cache.records import LARGE, SMALL, damaged, generation, scan
from ita_pipeline.cache.shared.store import Listing, Place, Shared
from ita_pipeline.cache.shared.sync import Moved, first_damage, in_turn, pull, put_segment
from ita_pipeline.cache.store import KEY_FILE, Store, describe
from stages.base import Stage


def holdings(shared: Shared) -> list[Holding]:
    """All keys of a shared cache, stage by stage, the one used last first; how many records, nobody has counted."""
    found: list[Holding] = []
    for place in shared.places():
        key, there = shared.key(place), shared.listing(place)
        if key is not None:
            sizes = there.segments.values()
            folder = Path(place.stage, place.short)
            found.append(Holding(key, folder, None, None, len(sizes), sum(sizes), there.changed))
    return sorted(found, key=lambda holding: (holding.key.stage, -holding.used))


def verify(shared: Shared, work: Path) -> Checked:
    """Read every line of every object and hold it against its check sum. Objects go through the folder `work`."""
    segments = lines = 0
    damage: list[Damage] = []
    for place in shared.places():
        for name, size in sorted(shared.listing(place).segments.items()):
            with borrowed(shared, place, name, work) as path:
                if path is None:  # brought together with others since it was listed
                    continue
                segments += 1
                end = 0
                with path.open("rb") as opened:
                    for line in scan(opened):
                        lines, end = lines + 1, line.end
                        if not line.good:
                            damage.append(Damage(shared.address(place, name), line.number, line.image))
                if end != size or not end:
                    damage.append(Damage(shared.address(place, name), 0, ""))
    return Checked(segments, lines, tuple(damage))


@contextmanager
def borrowed(shared: Shared, place: Place, name: str, work: Path) -> Iterator[Path | None]:
    """An object as a file, for a while; nothing where it is gone."""
    with tempfile.TemporaryDirectory(dir=work) as folder:
        path = Path(folder) / name
        try:
            shared.fetch(place, name, path)
        except FileNotFoundError:
            yield None
            return
        yield path


def plan_garbage(shared: Shared, keep: int | None = None, most_bytes: int | None = None) -> Removal:
    """What may go, as `collection.plan_garbage` says of a workspace."""
    leftovers: list[Path] = []
    for place in shared.places():
        there = shared.listing(place)
        if time.time() - there.changed > ABANDONED_AFTER:
            leftovers += [Path(place.stage, place.short, name) for name in there.others]
    chosen = plan_removal(holdings(shared), keep, most_bytes)
    return Removal(chosen.gone, chosen.kept, tuple(leftovers))


def remove(shared: Shared, removal: Removal) -> Iterator[Holding]:
    """Do it, key by key. A key that changed since it was looked at is left alone. Yields what went."""
    for path in removal.leftovers:
        stage, short, name = path.parts
        shared.remove(Place(stage, short), name)
    for holding in removal.gone:
        place = Place.of(holding.key)
        if shared.listing(place).changed <= holding.used:
            remove_place(shared, place)
            yield holding


def remove_place(shared: Shared, place: Place) -> None:
    """Stopped half way, nothing that was replaced comes back, and what is left can still be seen."""
    there = shared.listing(place)
    for name in sorted(there.segments, key=lambda name: (generation(Path(name)), name)):
        shared.remove(place, name)
    for name in sorted(there.notes):
        shared.remove(place, name)
    shared.remove(place, KEY_FILE)
    shared.remove_folder(place)


def compact(shared: Shared, work: Path, drop_damaged: bool = False) -> Iterator[tuple[str, Compacted]]:
    """Bring the segments of each key together, as `compaction.compact` does; each with its address.

    Small ones are fetched for that, and where results were done again, all of the key.

    Raises:
        CorruptCacheError: a line is damaged, and `drop_damaged` was not asked for; that key is left as it is.
    """
    for place in shared.places():
        there = shared.listing(place)
        again = any(generation(Path(name)) > 1 for name in there.segments)
        names = [name for name, size in there.segments.items() if again or drop_damaged or size < LARGE // 2]
        key = shared.key(place)
        if key is None or not (len(names) > 1 or (drop_damaged and names)):
            continue

        def together(store: Store, folder: Path, torn: set[str]) -> Compacted | None:
            return compact_folder(store, folder, drop_damaged, torn)

        done = remade(shared, place, key, names, there, work, together, drop_damaged)
        if done is not None:
            yield shared.address(place), done


def bring_many_together(shared: Shared, key: StageKey, work: Path) -> Compacted | None:
    """Make one of the small segments of a key, so that their number stays bounded. Damaged ones stay."""
    place = Place.of(key)
    there = shared.listing(place)
    names = [name for name, size in there.segments.items() if size < SMALL]

    def together(store: Store, folder: Path, _: set[str]) -> Compacted | None:
        store.index.refresh(folder)
        bad = {found.segment for found in store.index.damage(folder)}
        paths = sorted(path for path in folder.glob("*.jsonl") if path not in bad)
        return bring_together(store, folder, paths) if len(paths) > 1 else None

    return remade(shared, place, key, names, there, work, together, leave_damaged=True)


def remade(
    shared: Shared,
    place: Place,
    key: StageKey,
    names: Sequence[str],
    there: Listing,
    work: Path,
    together: Callable[[Store, Path, set[str]], Compacted | None],
    drop_damaged: bool = False,
    leave_damaged: bool = False,
) -> Compacted | None:
    """Fetch some segments, bring them together here, put what came of it, and only then remove the old ones."""
    with tempfile.TemporaryDirectory(dir=work) as made:
        store = Store(Path(made))
        folder = store.folder(key)
        folder.mkdir(parents=True)
        describe(key, folder / KEY_FILE)
        came = in_turn(lambda name: fetched_as_it_is(shared, place, name, folder), names)
        torn: set[str] = set()
        for name in (name for name, here in zip(names, came, strict=True) if here):
            if first_damage(folder / name, None, there.segments[name]) == 0:
                if not drop_damaged and not leave_damaged:
                    raise damaged(shared.address(place, name), 0)
                torn.add(name)
                if leave_damaged:
                    (folder / name).unlink()
        done = together(store, folder, torn)
        if done is None:
            return None
        for name in done.merge.into:
            put_segment(shared, place, folder / name)
        shared.put(place, done.merge.name, done.merge.to_json())
        for name in sorted(done.merge.parts | done.merge.damaged, key=lambda name: (generation(Path(name)), name)):
            shared.remove(place, name)
        return done


def fetched_as_it_is(shared: Shared, place: Place, name: str, folder: Path) -> bool:
    """Whether an object was still there to be fetched."""
    try:
        shared.fetch(place, name, folder / name)
    except FileNotFoundError:
        (folder / name).unlink(missing_ok=True)
        return False
    return True


@dataclass(frozen=True, slots=True)
class Pulled:
    """What came of a key; with `left_out`, nothing did, and it says why."""

    key: StageKey
    moved: Moved = field(default_factory=Moved)
    left_out: str = ""


def pull_all(
    store: Store, shared: Shared, installed: Mapping[str, type[Stage[Any]]], stages: Sequence[str] = ()
) -> Iterator[Pulled]:
    """Fetch every key of a shared cache, or those of some stages, as far as the stages here can read it."""
    for place in shared.places():
        if stages and place.stage not in stages:
            continue
        key = shared.key(place)
        if key is None:
            continue
        stage = installed.get(place.stage)
        if stage is None:
            yield Pulled(key, left_out="that stage is not installed")
        elif key.components.get("version") != stage.version:
            yield Pulled(key, left_out="it is of another version of the stage")
        else:
            yield Pulled(key, pull(store, shared, key, stage))


@contextmanager
def mirrored(
    shared: Shared, work: Path, installed: Mapping[str, type[Stage[Any]]], stages: Sequence[str] = ()
) -> Iterator[Store]:
    """What a shared cache holds as a store of its own, for a while.

    Raises:
        CorruptCacheError: an object is damaged.
    """
    work.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=work) as made:
        store = Store(Path(made))
        for found in pull_all(store, shared, installed, stages):
            for address, line in found.moved.damaged:
                raise damaged(address, line)
        yield store
