"""A page about two runs: is one better or was it chance, in what do they differ, and which posts changed."""

from __future__ import annotations

import logging
import shlex
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from ita_pipeline.cache.workspace import Workspace
from ita_pipeline.core.errors import UsageError
from ita_pipeline.core.notes import Notes
from ita_pipeline.core.progress import NoProgress, Progress
from ita_pipeline.ner.metrics.scores import Scores, score
from ita_pipeline.ner.metrics.significance import Difference
from ita_pipeline.reports.blocks import Block, Figure, Headline, Row, RunPart, Table
from ita_pipeline.reports.build import (
    Report,
    ReportOptions,
    asked_of,
    dataset_again,
    in_order,
    thumbnails_of,
    written,
)
from ita_pipeline.reports.cache_lookup import keys_of, look_up
from ita_pipeline.reports.gallery import PICTURE_FILTERS, Shown, Telling, make_gallery
from ita_pipeline.reports.models import GOLD, IT, Marked, T, verdict
from ita_pipeline.reports.page import Page
from ita_pipeline.reports.plots import Interval, Series, bars, intervals
from ita_pipeline.reports.predictions import answered
from ita_pipeline.reports.run_section import NOTHING, flattened, percent, shown, signed
from ita_pipeline.runs.compare import Comparison
from ita_pipeline.runs.run import TEXT, TEXT_AND_IMAGE, Run, RunRecord

VIEWS = {T: TEXT, IT: TEXT_AND_IMAGE}

BY_RUN = Telling(
    views=(GOLD, "A T", "A I+T", "B T", "B I+T"),
    before="A I+T",
    after="B I+T",
    verdicts=(
        ("helped", "right", "✓ right in B only"),
        ("harmed", "wrong", "✗ wrong in B only"),
        ("astray", "wrong", "✗ wrong in both, not in the same way"),
        ("text", "", "changed in T only"),
    ),
    changed="not as A",
    title="What B says otherwise",
    said_before="A says",
    said_after="B says",
)

FILTERS = {
    "all": "all that changed",
    "helped": "right in B only",
    "harmed": "wrong in B only",
    "astray": "wrong in both, not in the same way",
    "text": "changed in T only",
    **PICTURE_FILTERS,
}

logger = logging.getLogger(__name__)

LEAD = (
    "Both tests draw whole posts. The interval holds 95 in 100 differences when the posts are drawn anew (paired "
    "bootstrap); p is the probability of a difference at least as large if each post's answers had come from A or "
    "B by chance (approximate randomisation)."
)


def report_comparison(
    found: Comparison, html: Path, options: ReportOptions | None = None, progress: Progress | None = None
) -> Report:
    """Write the page about two runs that were compared.

    Raises:
        UserError: a file of a run cannot be read, or the cache is damaged.
        OSError: the page cannot be written.
    """
    options, progress = options or ReportOptions(), progress or NoProgress()
    if html.is_dir():
        raise UsageError(f"{html} is a folder", f"name the page in it: --html {html / 'compare.html'}")
    a, b = Run(Path(found.a)), Run(Path(found.b))
    notes, record, store = Notes(logger), b.record(), Workspace(options.workspace).store
    dataset = dataset_again(record, options, notes)
    first, second = (list(answered(run, dataset, notes, [found.split])) for run in (a, b))
    posts = list(both(first, second))
    seen = look_up(*asked_of(posts), record.contexts, store, keys_of(record.stage_keys, store, notes), notes)
    if a.record().components.get("contexts") != record.components.get("contexts"):
        notes.add("A read other contexts than B; those of B are shown")
    telling = sorted(posts, key=lambda post: verdict(post.answers, BY_RUN.before, BY_RUN.after)[1])
    album, thumbnails = thumbnails_of(in_order(telling, seen), html, options, progress)
    gallery = make_gallery(posts, seen, thumbnails, BY_RUN, FILTERS)
    part = comparison_part(found, a.record(), record, first, second, len(posts))
    title = f"{record.dataset}, run B {record.key[:8]} against A {a.record().key[:8]}"
    return written(Page(title, gallery, part, tuple(notes.lines)), html, album)


def both(first: Sequence[Shown], second: Sequence[Shown]) -> Iterator[Shown]:
    """The posts of which the runs say different things in either view, with the answers of both."""
    for one, other in zip(first, second, strict=True):
        answers = {GOLD: one.answers.get(GOLD, ())}
        for run, shown_by in (("A", one), ("B", other)):
            answers |= {f"{run} {view}": shown_by.answers[view] for view in (T, IT)}
        changed = {view: spans(one.answers[view]) != spans(other.answers[view]) for view in (T, IT)}
        if not any(changed.values()):
            continue
        found, _ = verdict(answers, BY_RUN.before, BY_RUN.after)
        tags = ["text"] if not changed[IT] else ["astray"] if not {"helped", "harmed"} & {*found} else []
        yield replace(one, answers=answers, tags=tuple(tags))


def spans(mentions: Sequence[Marked]) -> frozenset[object]:
    return frozenset(mention.span for mention in mentions)


def comparison_part(
    found: Comparison, a: RunRecord, b: RunRecord, first: Sequence[Shown], second: Sequence[Shown], changed: int
) -> RunPart:
    about = (
        f"A is {found.a}, B is {found.b}. {found.posts} posts of {found.split} with {found.mentions} mentions; "
        f"{changed} posts changed in either view and are shown below."
    )
    command = shlex.join(["ita", "compare", found.a, found.b, "--split", found.split, "--seed", str(found.seed)])
    blocks = (difference_block(found), types_block(found.split, first, second), settings_block(a, b))
    return RunPart(about, command, tuple(headlines(found)), blocks)


def headlines(found: Comparison) -> Iterator[Headline]:
    for view in (IT, T):
        one = found.views[VIEWS[view]]
        yield Headline(f"{view}, B − A", signed(one.difference), f"p {one.randomisation.p:.4f}")


def difference_block(found: Comparison) -> Block:
    rows = tuple(difference_row(view, found.views[key]) for view, key in VIEWS.items())
    header = ("view", "F1 of A", "F1 of B", "B − A", "95 % interval", "p")
    samples = found.views[TEXT].bootstrap.samples
    table = Table(f"F1 on {found.split}, in percent, {samples} samples, seed {found.seed}", header, rows)
    return Block("difference", "Difference", LEAD, (difference_figure(found),), (table,))


def difference_row(view: str, one: Difference) -> Row:
    interval = f"{signed(one.bootstrap.low)} … {signed(one.bootstrap.high)}"
    numbers = (percent(one.a), percent(one.b), signed(one.difference), interval, f"{one.randomisation.p:.4f}")
    return Row((view, *numbers))


def difference_figure(found: Comparison) -> Figure:
    lines = [
        Interval(view, 100 * one.difference, 100 * one.bootstrap.low, 100 * one.bootstrap.high, place)
        for place, (view, one) in enumerate((view, found.views[key]) for view, key in VIEWS.items())
    ]
    said = "; ".join(f"{line.name} {line.middle:+.2f}, from {line.low:+.2f} to {line.high:+.2f}" for line in lines)
    title = "B − A with its 95 % interval"
    return intervals(title, f"Difference in F1, in points. {said}.", "F1 of B − A, points", lines)


def types_block(split: str, first: Sequence[Shown], second: Sequence[Shown]) -> Block:
    a, b = (scored(posts) for posts in (first, second))
    names = sorted({*a.types, *b.types})
    rows = tuple(
        Row((name, percent(one.f1), percent(two.f1), signed(two.f1 - one.f1), str(max(one.support, two.support))))
        for name in names
        for one, two in [(a.types.get(name, NOTHING), b.types.get(name, NOTHING))]
    )
    table = Table(f"F1 of each type, {split}, I+T", ("type", "A", "B", "B − A", "mentions"), rows)
    values = [tuple(100 * found.types.get(name, NOTHING).f1 for name in names) for found in (a, b)]
    said = "; ".join(f"{row.cells[0]}: A {row.cells[1]}, B {row.cells[2]}" for row in rows)
    series = [Series("A", values[0], 0), Series("B", values[1], 1)]
    title = f"{split} F1 of each type, I+T"
    figures = (bars(title, f"{title}, in percent. {said}.", "F1, %", names, series),) if names else ()
    return Block("types", "Types", "", figures, (table,))


def scored(posts: Sequence[Shown]) -> Scores:
    """I+T against gold."""
    gold, said = ([[m.span for m in post.answers.get(name, ())] for post in posts] for name in (GOLD, IT))
    return score(gold, said)


def settings_block(a: RunRecord, b: RunRecord) -> Block:
    one, other = (dict(decided(record)) for record in (a, b))
    names = [name for name in {**one, **other} if one.get(name) != other.get(name)]
    rows = tuple(Row((name, one.get(name, "—"), other.get(name, "—"))) for name in names)
    if not rows:
        return Block("settings", "In what they differ", "In no setting, model or stage.")
    table = Table("Settings, models and stages that differ", ("what", "A", "B"), rows, words=3)
    return Block("settings", "In what they differ", "Digests are cut to 16 letters.", tables=(table,))


def decided(record: RunRecord) -> Iterator[tuple[str, str]]:
    """What decided a run, under names that a person knows."""
    yield "preset", record.preset
    yield "encoder", record.encoder
    yield "encoder, digest", record.encoder_identity.rpartition(":")[2][:16]
    yield "captions imported from", record.captions or "—"
    for stage, key in record.stage_keys.items():
        yield f"stage {stage}", key[:16]
    for kind, said in (("contexts", record.contexts), ("training", record.training)):
        for name, value in flattened(said.model_dump(mode="json")):
            yield f"{kind}.{name}", value or "none"
    for kind in ("sentences", "contexts"):
        digests = record.components.get(kind, {})
        for split, found in digests.items() if isinstance(digests, Mapping) else ():
            yield f"{split}, digest of {kind}", shown(found)[:16]
