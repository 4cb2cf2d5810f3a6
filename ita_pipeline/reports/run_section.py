"""What a page says about a run: scores of both views, learning curves, and everything that the run depended on."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from ita_pipeline.ner.metrics.scores import Score
from ita_pipeline.ner.training.history import EpochScore
from ita_pipeline.reports.analysis_blocks import errors_block
from ita_pipeline.reports.blocks import Block, Fact, Headline, Row, RunPart, Table
from ita_pipeline.reports.gallery import Shown
from ita_pipeline.reports.models import IT, T
from ita_pipeline.reports.plots import Series, bars, curves
from ita_pipeline.reports.series_block import series_block
from ita_pipeline.reports.worst_errors import worst_block
from ita_pipeline.runs.run import Run, RunRecord, ViewScores

T_PLACE, IT_PLACE, ALIGNMENT_PLACE = 0, 1, 2

NOTHING = Score(precision=0.0, recall=0.0, f1=0.0, support=0)

LONG = 12


def run_part(run: Run, about: str, posts: Sequence[Shown] = ()) -> RunPart:
    """Everything about a run. Of its posts, the errors on test that it was surest of.

    Raises:
        UserError: a file of the run is missing, or not what a run writes.
    """
    record, splits, history = run.record(), run.scores().splits, run.history()
    blocks = [scores_block(splits)]
    if run.has_analysis:
        blocks += [errors_block(split, found) for split, found in run.analysis().splits.items() if split == "test"]
    surest = worst_block([shown for shown in posts if shown.split == "test"])
    series = series_block(run, record)
    blocks += [block for block in (surest, series) if block is not None]
    if history:
        blocks.append(learning_block(history, record.best_epoch))
    blocks.append(dependence_block(record))
    return RunPart(about, record.command, tuple(headlines(splits)), tuple(blocks))


def headlines(splits: Mapping[str, ViewScores]) -> Iterator[Headline]:
    for name in ("test", "dev"):
        if name in splits:
            text, both = splits[name].text.micro.f1, splits[name].text_and_image.micro.f1
            yield Headline(f"{name} F1, I+T", percent(both), f"{signed(both - text)} over T")
            yield Headline(f"{name} F1, T", percent(text), "the text alone")


def scores_block(splits: Mapping[str, ViewScores]) -> Block:
    shown = "test" if "test" in splits else next(iter(splits), "")
    if not shown:
        return Block("scores", "Scores", "No split was scored.")
    types = sorted({*splits[shown].text.types, *splits[shown].text_and_image.types})
    lead = (
        "In percent. T reads the text alone, I+T the text and what the stages found in the picture. A mention "
        "counts when its span and its type are both right; an I- tag that continues nothing starts a mention."
    )
    figures = (types_figure(shown, splits[shown], types),) if types else ()
    return Block("scores", "Scores", lead, figures, (split_table(splits), types_table(shown, splits[shown], types)))


def split_table(splits: Mapping[str, ViewScores]) -> Table:
    rows: list[Row] = []
    for name, found in sorted(splits.items(), reverse=True):  # test before dev
        for view, scores in ((T, found.text), (IT, found.text_and_image)):
            micro = scores.micro
            numbers = (micro.precision, micro.recall, micro.f1, scores.macro_f1)
            rows.append(Row((f"{name}, {view}", *map(percent, numbers), str(micro.support)), strong=view == IT))
    return Table("Both views", ("split and view", "P", "R", "F1", "macro F1", "mentions"), tuple(rows))


def types_table(split: str, found: ViewScores, types: list[str]) -> Table:
    rows = []
    for name in types:
        text, both = (scores.types.get(name, NOTHING) for scores in (found.text, found.text_and_image))
        numbers = [percent(number) for s in (text, both) for number in (s.precision, s.recall, s.f1)]
        support = max(text.support, both.support)
        rows.append(Row((name, *numbers, signed(both.f1 - text.f1), str(support))))
    header = ("type", "T P", "T R", "T F1", "I+T P", "I+T R", "I+T F1", "F1 gained", "mentions")
    return Table(f"Each type, {split}", header, tuple(rows))


def types_figure(split: str, found: ViewScores, types: list[str]) -> Any:
    values = {
        view: tuple(100 * scores.types.get(name, NOTHING).f1 for name in types)
        for view, scores in ((T, found.text), (IT, found.text_and_image))
    }
    said = "; ".join(
        f"{name}: T {text:.0f}, I+T {both:.0f}"
        for name, text, both in zip(types, values[T], values[IT], strict=True)
    )
    series = [Series(T, values[T], T_PLACE), Series(IT, values[IT], IT_PLACE)]
    return bars(f"{split} F1 of each type", f"{split} F1 in percent. {said}.", "F1, %", types, series)


def learning_block(history: list[EpochScore], kept: int) -> Block:
    text = tuple(100 * epoch.text_f1 for epoch in history)
    both = tuple(100 * epoch.context_f1 for epoch in history)
    said = (
        f"F1 on dev over {len(history)} epochs, in percent: T from {text[0]:.1f} to {text[-1]:.1f}, "
        f"I+T from {both[0]:.1f} to {both[-1]:.1f}; epoch {kept} was kept, with T {text[kept - 1]:.1f} and "
        f"I+T {both[kept - 1]:.1f}."
    )
    series = [Series(T, text, T_PLACE), Series(IT, both, IT_PLACE)]
    figures = (curves("F1 on dev", said, "F1, %", series, kept), losses_figure(history, kept))
    rows = tuple(epoch_row(epoch, epoch.epoch == kept) for epoch in history)
    header = ("epoch", "dev F1 T", "dev F1 I+T", "mean", "loss", "NLL T", "NLL I+T", "alignment")
    table = Table("Epoch by epoch", header, rows, folded=len(history) > LONG)
    lead = "The weights of the epoch with the best mean F1 of both views on dev were kept."
    return Block("learning", "Learning", lead, figures, (table,))


def losses_figure(history: list[EpochScore], kept: int) -> Any:
    parts = [
        Series("NLL T", tuple(epoch.nll_text for epoch in history), T_PLACE),
        Series("NLL I+T", tuple(epoch.nll_context for epoch in history), IT_PLACE),
        Series("alignment", tuple(epoch.alignment for epoch in history), ALIGNMENT_PLACE),
    ]
    shown = [series for series in parts if any(series.values)]
    said = "Mean training loss of a batch by epoch. " + "; ".join(
        f"{series.name} from {series.values[0]:.2f} to {series.values[-1]:.2f}" for series in shown
    )
    return curves("Loss in training", f"{said}.", "loss", shown, kept)


def epoch_row(epoch: EpochScore, kept: bool) -> Row:
    scores = (epoch.text_f1, epoch.context_f1, epoch.mean_f1)
    losses = (epoch.loss, epoch.nll_text, epoch.nll_context, epoch.alignment)
    cells = (str(epoch.epoch), *map(percent, scores), *(f"{loss:.3f}" for loss in losses))
    return Row(cells, strong=kept, note="kept" if kept else "")


def dependence_block(record: RunRecord) -> Block:
    return Block(
        "dependence",
        "What the run depended on",
        "The run's key is made from the words and mentions, the contexts as rendered, the encoder and the settings "
        "of the training; the rest led to them. The digests are sha256.",
        facts=tuple(facts(record)),
        tables=(settings_table(record),),
    )


def facts(record: RunRecord) -> Iterator[Fact]:
    yield Fact("run key", record.key)
    yield Fact("encoder", record.encoder, record.encoder_identity)
    yield Fact("preset", record.preset)
    for stage, key in record.stage_keys.items():
        yield Fact(f"stage {stage}", key, listed(record.stages.get(stage, {})))
    if record.captions:
        yield Fact("captions imported from", record.captions)
    for kind, what in (("sentences", "words and mentions"), ("contexts", "contexts as rendered")):
        digests = record.components.get(kind, {})
        for split, found in digests.items() if isinstance(digests, Mapping) else ():
            yield Fact(f"{split}, {what}", str(found), f"{record.posts.get(split, 0)} posts")
    yield Fact("with a context", f"{record.with_context} of {sum(record.posts.values())} posts")
    yield Fact("context settings", listed(record.contexts.model_dump(mode="json")))
    lost = f"{record.trimmed_subtokens} sub-tokens of contexts cut, {record.vanished_words} words that vanish"
    yield Fact("lost in tokenisation", lost)


def settings_table(record: RunRecord) -> Table:
    rows = tuple(Row((name, value)) for name, value in flattened(record.training.model_dump(mode="json")))
    return Table("Settings of the training", ("setting", "value"), rows, folded=True)


def flattened(values: Mapping[str, Any], before: str = "") -> Iterator[tuple[str, str]]:
    for name, value in values.items():
        if isinstance(value, Mapping):
            yield from flattened(value, f"{before}{name}.")
        else:
            yield f"{before}{name}", shown(value)


def listed(values: Mapping[str, Any]) -> str:
    return ", ".join(f"{name} {shown(value)}" for name, value in values.items())


def shown(value: Any) -> str:
    return " · ".join(map(str, value)) if isinstance(value, list | tuple) else str(value)


def percent(number: float) -> str:
    return f"{100 * number:.2f}"


def signed(number: float) -> str:
    return f"{100 * number:+.2f}".replace("-", "−")
