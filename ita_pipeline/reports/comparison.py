"""A page about two runs: the significance of their difference, their settings, and the posts that changed."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from ita_pipeline.ner.metrics.scores import Scores, score
from ita_pipeline.reports.blocks import Block, Fact, Row, RunSection, Table, list_digests, pair_types
from ita_pipeline.reports.cache_lookup import CacheReader, picture_sources
from ita_pipeline.reports.formatting import flatten_settings, format_gain, format_percent
from ita_pipeline.reports.gallery import RUN_COMPARISON
from ita_pipeline.reports.plots import Figure, Interval, draw_intervals, draw_type_bars
from ita_pipeline.reports.posts import GOLD, IT, VIEWS, ReportPost, T, judge_answers, read_posts
from ita_pipeline.reports.writer import Report, ReportWriter
from ita_pipeline.runs.compare import Comparison
from ita_pipeline.runs.run import TEXT, Run, RunRecord

DIGEST_LENGTH = 16

LEAD = (
    "Both tests resample whole posts. The interval contains 95 % of the differences in resampled posts (paired "
    "bootstrap). p is the probability of a difference at least as large if the predictions of each post were "
    "assigned to A and B at random (approximate randomization)."
)


def report_comparison(comparison: Comparison, writer: ReportWriter) -> Report:
    """Write a page about two runs that were compared.

    Raises:
        UserError: a file of a run cannot be read, or the cache is damaged.
        OSError: the page cannot be written.
    """
    run_a, run_b = Run(Path(comparison.a)), Run(Path(comparison.b))
    a, b = run_a.record(), run_b.record()
    dataset = writer.reload_dataset(b)
    posts_a, posts_b = (list(read_posts(run, dataset, writer.notes, [comparison.split])) for run in (run_a, run_b))
    changed = list(_list_changed_posts(posts_a, posts_b))
    # A run without a stage would hide what the other one read.
    shown, name = (a, "A") if len(a.stage_keys) > len(b.stage_keys) else (b, "B")
    reader = CacheReader.for_run(shown, writer.workspace.store, writer.notes)
    posts = [item.post for item in changed]
    lookup = reader.look_up(picture_sources(posts), posts, dataset.posts if dataset else ())
    if a.components.get("contexts") != b.components.get("contexts"):
        writer.notes.add(f"A and B read different contexts; those of {name} are shown")
    gallery = writer.make_gallery(changed, lookup, RUN_COMPARISON)
    blocks = (
        _make_difference_block(comparison),
        _make_types_block(comparison.split, posts_a, posts_b),
        _make_settings_block(a, b),
    )
    section = _make_section(comparison, len(changed), blocks)
    return writer.write(f"{b.dataset}, run B {b.key[:8]} against A {a.key[:8]}", gallery, section)


def _make_difference_block(comparison: Comparison) -> Block:
    """Show the difference in F1 of both views, with its interval and probability."""
    rows: list[Row] = []
    for label, view in VIEWS.items():
        one = comparison.views[view]
        interval = f"{format_gain(one.bootstrap.low)} … {format_gain(one.bootstrap.high)}"
        cells = (label, format_percent(one.a), format_percent(one.b), format_gain(one.difference), interval)
        rows.append(Row((*cells, f"{one.randomisation.p:.4f}")))
    samples = comparison.views[TEXT].bootstrap.samples
    caption = f"F1 on {comparison.split}, in percent, {samples} samples, seed {comparison.seed}"
    header = ("view", "F1 of A", "F1 of B", "B − A", "95 % interval", "p")
    table = Table(caption, header, tuple(rows))
    return Block("difference", "Difference", LEAD, (_draw_difference(comparison),), (table,))


def _make_types_block(split: str, posts_a: Sequence[ReportPost], posts_b: Sequence[ReportPost]) -> Block:
    """Show the F1 of I+T for each type."""
    types = pair_types(_score_posts(posts_a), _score_posts(posts_b))
    rows: list[Row] = []
    for name, a, b in types:
        f1 = (format_percent(a.f1), format_percent(b.f1), format_gain(b.f1 - a.f1))
        rows.append(Row((name, *f1, str(max(a.support, b.support)))))
    title = f"{split} F1 of each type, I+T"
    numbers = "; ".join(f"{row.cells[0]}: A {row.cells[1]}, B {row.cells[2]}" for row in rows)
    figures = (draw_type_bars(title, f"{title}, in percent. {numbers}.", ("A", "B"), types),) if types else ()
    header = ("type", "A", "B", "B − A", "mentions")
    table = Table(f"F1 of each type, {split}, I+T", header, tuple(rows))
    return Block("types", "Types", "", figures, (table,))


def _make_settings_block(run_a: RunRecord, run_b: RunRecord) -> Block:
    """Show the settings, models and stages in which the runs differ."""
    a, b = (dict(_list_settings(record)) for record in (run_a, run_b))
    names = [name for name in {**a, **b} if a.get(name) != b.get(name)]
    rows = tuple(Row((name, a.get(name, "—"), b.get(name, "—"))) for name in names)
    if not rows:
        return Block("settings", "Differing settings", "No setting, model or stage differs.")
    table = Table("Settings, models and stages that differ", ("setting", "A", "B"), rows, words=3)
    return Block("settings", "Differing settings", "Digests are shortened to 16 characters.", tables=(table,))


def _list_changed_posts(posts_a: Sequence[ReportPost], posts_b: Sequence[ReportPost]) -> Iterator[ReportPost]:
    """Yield the posts for which the runs predict different mentions in either view, with the answers of both."""
    for a, b in zip(posts_a, posts_b, strict=True):
        answers = {GOLD: a.answers.get(GOLD, ())}
        for run, item in (("A", a), ("B", b)):
            answers |= {f"{run} {label}": item.answers[label] for label in (T, IT)}
        changed = {label for label in (T, IT) if a.spans(label) != b.spans(label)}
        if not changed:
            continue
        verdicts, _ = judge_answers(answers, RUN_COMPARISON.before, RUN_COMPARISON.after)
        tags = ["text"] if IT not in changed else ["astray"] if not {"helped", "harmed"} & {*verdicts} else []
        yield replace(a, answers=answers, tags=tuple(tags))


def _make_section(comparison: Comparison, changed: int, blocks: tuple[Block, ...]) -> RunSection:
    about = (
        f"A is {comparison.a}, B is {comparison.b}. {comparison.posts} posts of {comparison.split} with "
        f"{comparison.mentions} mentions. Posts with different predictions in either view, shown below: {changed}."
    )
    samples = comparison.views[TEXT].bootstrap.samples
    options = ["--split", comparison.split, "--samples", str(samples), "--seed", str(comparison.seed)]
    command = shlex.join(["ita", "compare", comparison.a, comparison.b, *options])
    headlines: list[Fact] = []
    for label in (IT, T):
        one = comparison.views[VIEWS[label]]
        headlines.append(Fact(f"{label}, B − A", format_gain(one.difference), f"p {one.randomisation.p:.4f}"))
    return RunSection(about, command, tuple(headlines), blocks)


def _draw_difference(comparison: Comparison) -> Figure:
    intervals: list[Interval] = []
    for style, (label, view) in enumerate(VIEWS.items()):
        difference = comparison.views[view]
        low, high = difference.bootstrap.low, difference.bootstrap.high
        intervals.append(Interval(label, 100 * difference.difference, 100 * low, 100 * high, style))
    numbers = "; ".join(
        f"{one.name} {one.middle:+.2f}, from {one.low:+.2f} to {one.high:+.2f}" for one in intervals
    )
    alt = f"Difference in F1, in points. {numbers}."
    return draw_intervals("B − A with its 95 % interval", alt, "F1 of B − A, points", intervals)


def _score_posts(posts: Sequence[ReportPost]) -> Scores:
    """Score the mentions of I+T."""
    gold, predicted = ([[m.span for m in item.answers.get(label, ())] for item in posts] for label in (GOLD, IT))
    return score(gold, predicted)


def _list_settings(record: RunRecord) -> Iterator[tuple[str, str]]:
    """Yield everything that determines a run, under the names that users know."""
    yield "preset", record.preset
    yield "encoder", record.encoder
    yield "encoder, digest", record.encoder_identity.rpartition(":")[2][:DIGEST_LENGTH]
    yield "captions imported from", record.captions or "—"
    for stage, key in record.stage_keys.items():
        yield f"stage {stage}", key[:DIGEST_LENGTH]
    for kind, config in (("contexts", record.contexts), ("training", record.training)):
        for name, value in flatten_settings(config.model_dump(mode="json")):
            yield f"{kind}.{name}", value or "none"
    for kind in ("sentences", "contexts"):
        for split, digest in list_digests(record, kind):
            yield f"{split}, digest of {kind}", digest[:DIGEST_LENGTH]
