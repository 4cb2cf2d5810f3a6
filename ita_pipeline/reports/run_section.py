"""The part of a page about a run: headlines, and one block per topic."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

from ita_pipeline.core.text import format_count
from ita_pipeline.ner.metrics.scores import EpochScore
from ita_pipeline.ner.metrics.significance import SAMPLES, SEED, bootstrap, count_mentions
from ita_pipeline.reports.blocks import Block, Fact, Row, RunData, RunSection, Table, list_digests, pair_types
from ita_pipeline.reports.error_blocks import make_errors_block, make_worst_errors_block
from ita_pipeline.reports.formatting import flatten_settings, format_gain, format_percent, format_settings
from ita_pipeline.reports.grounding_block import make_grounding_block
from ita_pipeline.reports.plots import Figure, PlotSeries, TypeScores, draw_curves, draw_type_bars
from ita_pipeline.reports.posts import GOLD, IT, ReportPost, T
from ita_pipeline.reports.series_block import make_series_block
from ita_pipeline.runs.run import Run, RunRecord, ViewScores

T_STYLE, IT_STYLE, ALIGNMENT_STYLE = 0, 1, 2

MAX_OPEN_EPOCHS = 12


def make_run_section(run: Run, about: str, posts: Sequence[ReportPost] = ()) -> RunSection:
    """Make all blocks about a run that have content.

    Raises:
        UserError: a file of the run is missing or invalid.
    """
    data = RunData.read(run, posts)
    blocks = [make_block(data) for make_block in BLOCKS]
    headlines = tuple(_list_headlines(data))
    command = _shorten_paths(data.record.command, run)
    return RunSection(about, command, headlines, tuple(block for block in blocks if block is not None))


def make_scores_block(data: RunData) -> Block:
    """Show the scores of both views, in total and for each type."""
    split = "test" if "test" in data.scores else next(iter(data.scores), "")
    if not split:
        return Block("scores", "Scores", "No split was scored.")
    scores = data.scores[split]
    types = pair_types(scores.text, scores.text_and_image)
    lead = (
        "All values are percentages. T reads only the text; I+T reads the text and the contexts of its picture. A "
        "mention is right if both its span and its type are. An I- tag that continues no mention starts one."
    )
    figures = (_draw_types(split, types),) if types else ()
    tables = (_make_splits_table(data.scores, bool(data.record.with_context)), _make_types_table(split, types))
    return Block("scores", "Scores", lead, figures, tables)


def make_learning_block(data: RunData) -> Block | None:
    """Show scores and losses of every epoch, if the run has a history."""
    history, kept = data.history, data.record.best_epoch
    if not history:
        return None
    lead = "The run keeps the weights of the epoch with the best mean F1 of both views on dev."
    figures = (_draw_dev_f1(history, kept), _draw_losses(history, kept))
    rows: list[Row] = []
    for epoch in history:
        is_kept = epoch.epoch == kept
        scores = (epoch.text_f1, epoch.context_f1, epoch.mean_f1)
        losses = (epoch.loss, epoch.nll_text, epoch.nll_context, epoch.alignment)
        cells = (str(epoch.epoch), *map(format_percent, scores), *(f"{loss:.3f}" for loss in losses))
        rows.append(Row(cells, strong=is_kept, note="kept" if is_kept else ""))
    header = ("epoch", "dev F1 T", "dev F1 I+T", "mean", "loss", "NLL T", "NLL I+T", "alignment")
    table = Table("Epochs", header, tuple(rows), folded=len(history) > MAX_OPEN_EPOCHS)
    return Block("learning", "Learning", lead, figures, (table,))


def make_dependence_block(data: RunData) -> Block:
    """Show everything that the run's result depended on."""
    settings = flatten_settings(data.record.training.model_dump(mode="json"))
    rows = tuple(Row(setting) for setting in settings)
    return Block(
        "dependence",
        "Inputs of the run",
        "The run's key is computed from the words and mentions, the rendered contexts, the encoder and the "
        "training settings. All other values led to these. Digests are SHA-256.",
        facts=tuple(_list_facts(data.record)),
        tables=(Table("Training settings", ("setting", "value"), rows, folded=True),),
        folded=True,
    )


# The blocks of a run's page in order. A function returns None if its block would have no content.
BLOCKS: tuple[Callable[[RunData], Block | None], ...] = (
    make_scores_block,
    make_grounding_block,
    make_errors_block,
    make_worst_errors_block,
    make_series_block,
    make_learning_block,
    make_dependence_block,
)


def _shorten_paths(command: str, run: Run) -> str:
    """Return a command with the paths in the run's workspace relative to it."""
    runs = run.folder.absolute().parent.parent
    return command.replace(f"{runs.parent}/", "") if runs.name == "runs" and runs.parent != Path("/") else command


def _list_headlines(data: RunData) -> Iterator[Fact]:
    for split in ("test", "dev"):
        if split not in data.scores:
            continue
        text, both = data.scores[split].text.micro, data.scores[split].text_and_image.micro
        mentions = format_count(both.support, "mention")
        if not data.record.with_context:
            yield Fact(f"{split} F1", format_percent(text.f1), f"text only; {mentions}")
            continue
        interval = _format_interval([item for item in data.posts if item.split == split])
        gain = f"{format_gain(both.f1 - text.f1)}{interval} over T; {mentions}"
        yield Fact(f"{split} F1, I+T", format_percent(both.f1), gain)
        yield Fact(f"{split} F1, T", format_percent(text.f1), "text only")


def _format_interval(posts: Sequence[ReportPost]) -> str:
    """Return the 95 % interval of the gain of I+T over T by paired bootstrap, as in `ita compare`."""
    labels = {label for item in posts for label in item.answers}
    if not posts or not {GOLD, T, IT} <= labels:
        return ""
    gold, text, both = (
        [[mention.span for mention in item.answers.get(label, ())] for item in posts] for label in (GOLD, T, IT)
    )
    sample = bootstrap(count_mentions(gold, text), count_mentions(gold, both), SAMPLES, SEED)
    return f" [{format_gain(sample.low)}, {format_gain(sample.high)}]"


def _make_splits_table(scores: Mapping[str, ViewScores], has_contexts: bool) -> Table:
    rows: list[Row] = []
    for split, views in sorted(scores.items(), reverse=True):  # test before dev
        for label, view_scores in ((T, views.text), (IT, views.text_and_image)):
            if label == IT and not has_contexts:
                continue
            micro = view_scores.micro
            numbers = (micro.precision, micro.recall, micro.f1, view_scores.macro_f1)
            cells = (f"{split}, {label}", *map(format_percent, numbers), str(micro.support))
            rows.append(Row(cells, strong=label == IT))
    return Table(
        "Both views" if has_contexts else "Scores",
        ("split and view", "P", "R", "F1", "macro F1", "mentions"),
        tuple(rows),
    )


def _make_types_table(split: str, types: TypeScores) -> Table:
    rows: list[Row] = []
    for name, text, both in types:
        numbers = (text.precision, text.recall, text.f1, both.precision, both.recall, both.f1)
        support = max(text.support, both.support)
        rows.append(Row((name, *map(format_percent, numbers), format_gain(both.f1 - text.f1), str(support))))
    header = ("type", "T P", "T R", "T F1", "I+T P", "I+T R", "I+T F1", "F1 gain", "mentions")
    return Table(f"Types, {split}", header, tuple(rows))


def _draw_types(split: str, types: TypeScores) -> Figure:
    numbers = "; ".join(f"{name}: T {100 * text.f1:.0f}, I+T {100 * both.f1:.0f}" for name, text, both in types)
    alt = f"{split} F1 in percent. {numbers}."
    return draw_type_bars(f"{split} F1 of each type", alt, (T, IT), types)


def _draw_dev_f1(history: Sequence[EpochScore], kept: int) -> Figure:
    text = tuple(100 * epoch.text_f1 for epoch in history)
    both = tuple(100 * epoch.context_f1 for epoch in history)
    alt = (
        f"F1 on dev over {len(history)} epochs, in percent: T from {text[0]:.1f} to {text[-1]:.1f}, "
        f"I+T from {both[0]:.1f} to {both[-1]:.1f}; epoch {kept} was kept, with T {text[kept - 1]:.1f} and "
        f"I+T {both[kept - 1]:.1f}."
    )
    series = [PlotSeries(T, text, T_STYLE), PlotSeries(IT, both, IT_STYLE)]
    return draw_curves("F1 on dev", alt, "F1, %", series, kept)


def _draw_losses(history: Sequence[EpochScore], kept: int) -> Figure:
    losses = [
        PlotSeries("NLL T", tuple(epoch.nll_text for epoch in history), T_STYLE),
        PlotSeries("NLL I+T", tuple(epoch.nll_context for epoch in history), IT_STYLE),
        PlotSeries("alignment", tuple(epoch.alignment for epoch in history), ALIGNMENT_STYLE),
    ]
    used = [series for series in losses if any(series.values)]
    changes = "; ".join(f"{series.name} from {series.values[0]:.2f} to {series.values[-1]:.2f}" for series in used)
    alt = f"Mean training loss of a batch, by epoch. {changes}."
    return draw_curves("Training loss", alt, "loss", used, kept)


def _list_facts(record: RunRecord) -> Iterator[Fact]:
    yield Fact("run key", record.key)
    yield Fact("encoder", record.encoder, record.encoder_identity)
    yield Fact("preset", record.preset)
    for stage, key in record.stage_keys.items():
        yield Fact(f"stage {stage}", key, format_settings(record.stages.get(stage, {})))
    if record.captions:
        yield Fact("captions imported from", record.captions)
    for kind, what in (("sentences", "words and mentions"), ("contexts", "rendered contexts")):
        for split, digest in list_digests(record, kind):
            yield Fact(f"{split}, {what}", digest, f"{record.posts.get(split, 0)} posts")
    yield Fact("posts with a context", f"{record.with_context} of {sum(record.posts.values())} posts")
    yield Fact("context settings", format_settings(record.contexts.model_dump(mode="json")))
    lost = (
        f"{record.trimmed_subtokens} context sub-tokens cut off, {record.vanished_words} words without sub-tokens"
    )
    yield Fact("lost in tokenization", lost)
