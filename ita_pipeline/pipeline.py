"""What chains what: each function here is a command of `ita`, and its Python twin."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

from ita_pipeline.cache.store import Store
from ita_pipeline.comparison import Comparison, compare_runs
from ita_pipeline.consent import ask_consent
from ita_pipeline.engines.choice import opened
from ita_pipeline.engines.cluster import RayPool
from ita_pipeline.errors import UsageError
from ita_pipeline.explanation import Explanation, explain
from ita_pipeline.extraction import Extraction, PicturePlan, carry_out, is_pictures, plan_pictures
from ita_pipeline.freshness import Status, status_of
from ita_pipeline.inference import demo, evaluate, load, predict, predict_parts
from ita_pipeline.making import unfinished_runs
from ita_pipeline.options import Listener, Mute, Options, chosen
from ita_pipeline.places import LocalFile
from ita_pipeline.post_items import of_posts
from ita_pipeline.presets import build_stages
from ita_pipeline.reports.make import Report, ReportOptions, make_report
from ita_pipeline.reports.two_runs import report_comparison
from ita_pipeline.runs import find_run
from ita_pipeline.sharing import Sharing
from ita_pipeline.sources import is_source, place_called
from ita_pipeline.spool import Spool
from ita_pipeline.targets import is_posts_file, things_in
from ita_pipeline.training import plan_train, train, train_series
from ita_pipeline.training_plan import TrainingPlan, TrainOptions
from ita_pipeline.workspace import Workspace

__all__ = [
    "Options",
    "RayPool",
    "ReportOptions",
    "TrainOptions",
    "compare",
    "compare_page",
    "demo",
    "evaluate",
    "extract",
    "load",
    "picture_status",
    "plan_extraction",
    "plan_seen",
    "plan_train",
    "predict",
    "predict_parts",
    "report",
    "status",
    "train",
    "train_series",
    "training_status",
    "why",
    "why_post",
]

GROUP = 64


def plan_extraction(
    target: Path | str,
    options: Options | None = None,
    listener: Listener | None = None,
    data: Path | None = None,
    only: str | None = None,
    spool: Spool | None = None,
) -> PicturePlan:
    """What `extract` would do for the pictures of a source, or for posts: the very plan that it obeys.

    Posts are those of a dataset, of a folder that is one, or of a file of JSON lines; `only` names one of them.
    What has to be fetched to be known is kept in the `spool`.

    Raises:
        UserError: there is nothing to look at, a setting is unknown, or the cache is damaged.
        StageError: a model or tool that a stage needs is missing.
    """
    with Sharing(options or Options(), listener, puts=False) as sharing:
        return planned_extraction(target, sharing.store, options, listener, data, only, spool)


def planned_extraction(
    target: Path | str,
    store: Store,
    options: Options | None = None,
    listener: Listener | None = None,
    data: Path | None = None,
    only: str | None = None,
    spool: Spool | None = None,
) -> PicturePlan:
    """As `plan_extraction`, against a store."""
    options, heard = options or Options(), listener or Mute()
    workspace = Workspace(options.workspace)
    choice = chosen(options)
    stages = build_stages(choice.preset, options.stages)
    seen = things_in(target, bool(of_posts(stages)), data, workspace.data, store.manifest)
    for line in (*seen.notes, choice.why):
        heard.say(line)
    source = None if seen.source is None else replace(seen.source, only=only)
    if only is not None and (source is None or not any(post.id == only for post in source.posts)):
        raise UsageError(
            f"there is no post {only} in {target}", "posts go by their id, or else their line's number"
        )
    plan = plan_pictures(
        seen.pictures, stages, store, options.wishes, options.limits, source, spool, options.shard, heard
    )
    return replace(plan, others=seen.others, unreadable=(*seen.closed, *plan.unreadable))


def plan_seen(options: Options | None = None, listener: Listener | None = None) -> PicturePlan:
    """What would be done for every picture that was looked at in this workspace and still lies where it did.

    Raises:
        UserError: none was ever looked at, a setting is unknown, or the cache is damaged.
        StageError: a model or tool that a stage needs is missing.
    """
    options, heard = options or Options(), listener or Mute()
    store = Workspace(options.workspace).store
    known = store.manifest.paths()
    seen = [Path(os.fsdecode(path)) for path in known if path.startswith(os.fsencode(os.sep))]
    there = [path for path in seen if os.path.exists(path)]  # noqa: PTH110 (there may be a million of them)
    elsewhere = len(known) - len(seen)
    if elsewhere:
        heard.say(f"{elsewhere} pictures of other sources are not looked at; name the source to see them")
    if not there:
        raise UsageError(
            "no picture was looked at in this workspace yet", "ita status FOLDER, a folder of pictures"
        )
    choice = chosen(options)
    heard.say(choice.why)
    gone = f"; {len(seen) - len(there)} others are gone" if len(there) < len(seen) else ""
    heard.say(f"{len(there)} pictures that were looked at before{gone}")
    stages = build_stages(choice.preset, options.stages)
    places = [LocalFile(path) for path in there]
    with Sharing(options, heard, puts=False) as sharing:
        return plan_pictures(places, stages, sharing.store, options.wishes, options.limits, shard=options.shard)


def extract(
    target: Path | str,
    options: Options | None = None,
    listener: Listener | None = None,
    data: Path | None = None,
) -> Extraction:
    """Turn pictures into captions, objects and words, and posts into what a model knows of them, where that is
    wanted; doing only what is stale. `target` is a source of pictures, as docs/sources.md lists them, or posts as
    `plan_extraction` takes them.

    Raises:
        UserError: there is nothing to look at, a setting is unknown, nobody agreed that posts are sent to another
            machine, the cache is damaged, or Ray is asked for and does not answer.
        StageError: a model or tool that a stage needs is missing; what was computed before is kept.
    """
    options, heard = options or Options(), listener or Mute()
    with (
        Sharing(options, heard) as sharing,
        opened(options.ray, options.limits, heard.say) as engine,
        Spool() as spool,
    ):
        plan = planned_extraction(target, sharing.store, options, heard, data, spool=spool)
        ask_consent(plan.plan, options.consent, heard)
        # Other processes may do the work, of whose segments nobody here is told.
        sharing.owes(part.key for part in plan.plan.stages if part.stale)
        done = carry_out(plan, sharing.store, engine, heard)
    return replace(done, sharing=sharing.outcome)


def status(
    target: str | Path | None = None,
    options: Options | None = None,
    training: TrainOptions | None = None,
    listener: Listener | None = None,
) -> Status:
    """What is fresh, stale and failed for a source of pictures, or for a dataset with its training; without
    either, for all pictures that were looked at in this workspace.

    Raises:
        UserError: there is no such thing, or a setting is unknown.
        StageError: a model or tool that a stage needs is missing.
    """
    options = options or Options()
    if target is None:
        found = picture_status(plan_seen(options, listener))
        folders = sorted(Workspace(options.workspace).runs.glob("*"))
        return replace(found, unfinished=tuple(run for folder in folders for run in unfinished_runs(folder)))
    if is_pictures(Path(target)) or is_posts_file(Path(target)) or is_source(str(target)):
        return picture_status(plan_extraction(target, options, listener))
    if options.shard is not None:
        hint = f"ita extract {target} --shard … --dry-run shows a shard of its pictures"
        raise UsageError("a training is not divided into shards", hint)
    return training_status(plan_train(str(target), options, training, listener), options)


def picture_status(plan: PicturePlan) -> Status:
    return status_of(plan.plan, plan.unreadable)


def training_status(plan: TrainingPlan, options: Options) -> Status:
    workspace = Workspace(options.workspace)
    state = plan.state(workspace.store, workspace.runs)
    return status_of(plan.contexts.plan, plan.contexts.pictures.unreadable, state)


def why(image: Path | str, options: Options | None = None, listener: Listener | None = None) -> Explanation:
    """Everything about one picture: its records, what decided them, and what has changed since.

    Raises:
        UserError: there is no such picture, or a setting is unknown.
        StageError: a model or tool that a stage needs is missing.
    """
    options, heard = options or Options(), listener or Mute()
    place = place_called(str(image), Workspace(options.workspace).store.manifest)
    choice = chosen(options)
    heard.say(choice.why)
    stages = build_stages(choice.preset, options.stages)
    with Sharing(options, heard, puts=False) as sharing:
        plan = plan_pictures([place], stages, sharing.store, options.wishes, options.limits)
    if plan.unreadable:
        raise UsageError(
            f"{place.label} cannot be read: {plan.unreadable[0].reason}",
            "ita status without a picture lists those that can",
        )
    return explain(plan, sharing.store)


def why_post(
    target: Path | str,
    post: str,
    options: Options | None = None,
    listener: Listener | None = None,
    data: Path | None = None,
) -> Explanation:
    """Everything about one post, by its id: what `why` says of a picture, of it and of its picture.

    Raises:
        UserError: there is no such post, or a setting is unknown.
        StageError: a model or tool that a stage needs is missing.
    """
    options = options or Options()
    plan = plan_extraction(target, options, listener, data, post)
    return explain(plan, Workspace(options.workspace).store)


def compare(
    a: str | Path,
    b: str | Path,
    split: str = "test",
    samples: int = 10_000,
    seed: int = 1,
    workspace: Path = Path(),
) -> Comparison:
    """Whether run B is better than run A on the posts of a split, in both views.

    Raises:
        MissingError: there is no such run.
        UsageError: the runs were tested on different posts.
    """
    runs = Workspace(workspace).runs
    return compare_runs(find_run(a, runs), find_run(b, runs), split, samples, seed)


def compare_page(
    found: Comparison, html: Path | str, options: ReportOptions | None = None, listener: Listener | None = None
) -> Report:
    """Write a page about two runs that `compare` compared: the tests, and the posts that changed.

    Raises:
        UserError: a file of a run cannot be read, or the cache is damaged.
    """
    return report_comparison(found, Path(html), options, listener)


def report(
    target: str | Path, html: Path | str, options: ReportOptions | None = None, listener: Listener | None = None
) -> Report:
    """Write a page to look at: about a run, about a dataset without one, or about a folder of pictures.

    Raises:
        UserError: there is no such thing, or nothing was extracted from the pictures yet.
    """
    return make_report(target, Path(html), options, listener)
