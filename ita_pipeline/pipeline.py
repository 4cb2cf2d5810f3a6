"""What chains what: each function here is a command of `ita`, and its Python twin."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from ita_pipeline.engines.local import Progress
from ita_pipeline.errors import UsageError, nearest
from ita_pipeline.extraction import Extraction, extract_pictures, pictures_in
from ita_pipeline.presets import AUTO, Choice, build_stages, choose
from ita_pipeline.settings import parse_assignments, with_changes
from ita_pipeline.workspace import Workspace


class Silent:
    """Watches a run and says nothing."""

    def start(self, stage: str, total: int) -> None: ...

    def advance(self, done: int) -> None: ...

    def finish(self) -> None: ...

    def say(self, line: str) -> None: ...


class Listener(Progress):
    """Who is told what happens: progress of the stages, and now and then a line."""

    def say(self, line: str) -> None: ...


@dataclass(frozen=True, slots=True)
class Options:
    """What every command that runs stages understands."""

    preset: str = AUTO
    stages: tuple[str, ...] = ()
    assignments: tuple[str, ...] = ()
    workspace: Path = Path()
    retry_failed: bool = False


def chosen(options: Options, also: Sequence[str] = ()) -> Choice:
    """The preset with `--set` applied; `also` names sections that somebody else will read.

    Raises:
        UsageError: `--set` names a stage that the preset has not.
    """
    choice = choose(options.preset)
    changes = parse_assignments(options.assignments)
    known = [*choice.preset.stages, "contexts", *also]
    for section in changes:
        if section not in known:
            hint = nearest(section, known) or f"known are {', '.join(known)}"
            raise UsageError(f"--set names {section}, which is no stage of preset {choice.preset.name}", hint)
    return replace(choice, preset=with_changes(choice.preset, changes))


def extract(folder: Path | str, options: Options | None = None, listener: Listener | None = None) -> Extraction:
    """Turn the pictures below a folder into captions, objects and words, doing only what is stale.

    Raises:
        UserError: the folder has no pictures, a setting is unknown, or the cache is damaged.
        StageError: a model or tool that a stage needs is missing; what was computed before is kept.
    """
    options, listener = options or Options(), listener or Silent()
    found = pictures_in(Path(folder))
    choice = chosen(options)
    listener.say(choice.why)
    stages = build_stages(choice.preset, options.stages)
    store = Workspace(options.workspace).store
    extraction = extract_pictures(found.pictures, stages, store, listener, options.retry_failed)
    return replace(extraction, others=found.others)
