"""The Python API of `ita data check`: find problems of a dataset that spoil training or its scores."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from ita_pipeline.cache.store import Workspace
from ita_pipeline.core.errors import UsageError, nearest
from ita_pipeline.corpus import checks
from ita_pipeline.corpus.checks import Finding, FindingKind, ImageChecks, ViewFit
from ita_pipeline.corpus.datasets import Dataset, load_dataset
from ita_pipeline.corpus.line_errors import TOLERATED, LineError
from ita_pipeline.corpus.posts import Post
from ita_pipeline.extraction.contexts import PostContexts, read_contexts, read_imported
from ita_pipeline.extraction.options import Options
from ita_pipeline.extraction.presets import Preset, resolve_preset
from ita_pipeline.ner.encoders import EncoderRef, find_encoder, max_row_length
from ita_pipeline.ner.views import ViewEncoder
from ita_pipeline.runs.plan import TrainOptions, plan_dataset_contexts, training_settings
from ita_pipeline.sources.decode import find_image_problem
from ita_pipeline.sources.identify import identify
from ita_pipeline.sources.local import LocalFile
from ita_pipeline.sources.refs import ImageRef
from stages.base import StageError
from stages.models.loading import load_pretrained


@dataclass(frozen=True, slots=True)
class Checked:
    """The findings of a check. `notes` contains remarks, and what could not be checked."""

    dataset: str
    posts: Mapping[str, int]
    findings: tuple[Finding, ...]
    notes: tuple[str, ...] = ()

    @property
    def clean(self) -> bool:
        """Whether there are no findings."""
        return not self.findings

    @property
    def by_kind(self) -> dict[FindingKind, list[Finding]]:
        """The findings of each kind."""
        return checks.group_by_kind(self.findings)

    def to_json(self) -> dict[str, Any]:
        """Return the content of `ita data check --json`."""
        findings = [
            {
                "kind": kind.name,
                "split": finding.split,
                "post": finding.post,
                "file": finding.file,
                "line": finding.line,
                "what": finding.what,
            }
            for kind, findings_of_kind in self.by_kind.items()
            for finding in findings_of_kind
        ]
        return {
            "schema": "ita.data-check/1",
            "dataset": self.dataset,
            "posts": dict(self.posts),
            "counts": {kind.name: len(findings) for kind, findings in self.by_kind.items()},
            "findings": findings,
            "notes": list(self.notes),
            "clean": self.clean,
        }


def check(
    name: str,
    options: Options | None = None,
    training: TrainOptions | None = None,
    ignore: tuple[str, ...] = (),
) -> Checked:
    """Find the problems of a dataset that `corpus.checks.KINDS` lists, except the kinds named in `ignore`.

    Only cached contexts count; no stage runs.

    Raises:
        UsageError: the dataset is unknown, one of its files is not text, or `ignore` names an unknown kind.
        MissingError: a file of the dataset is missing.
    """
    options, training = options or Options(), training or TrainOptions()
    known = [kind.name for kind in checks.KINDS]
    for kind in ignore:
        if kind not in known:
            raise UsageError(f"there is no kind of finding {kind}", nearest(kind, known) or ", ".join(known))
    errors: list[LineError] = []
    workspace = Workspace(options.workspace)
    dataset = load_dataset(name, training.data, workspace.data, errors.append)
    findings = [*checks.check_lines(errors), *checks.check_posts(dataset.splits)]
    findings += checks.check_images(dataset.splits, _check_images(dataset, workspace))
    notes = list(dataset.notes)
    try:
        measure = _LengthMeasure(dataset, options, training, workspace)
        findings += checks.check_lengths(dataset.splits, measure)
        notes += measure.notes
    except StageError as error:
        notes.append(f"lengths are not checked: {error}" + (f" ({error.hint})" if error.hint else ""))
    if any(error.kind not in TOLERATED for error in errors):
        notes.append("what cannot be read was left out of the other checks; check again when it is mended")
    counts = {split: len(posts) for split, posts in dataset.splits.items()}
    findings = [finding for finding in findings if finding.kind.name not in ignore]
    return Checked(dataset.name, counts, tuple(findings), tuple(notes))


def _check_images(dataset: Dataset, workspace: Workspace) -> ImageChecks:
    """Read the header of every image, without decoding it."""
    paths = list(dict.fromkeys(post.picture for post in dataset.posts if post.picture is not None))
    keys: dict[Path, str] = {}
    reasons: dict[Path, str] = {}
    for path, image in zip(paths, identify(map(LocalFile, paths), workspace.store.manifest), strict=True):
        if not isinstance(image, ImageRef):
            reasons[path] = image.reason
            continue
        keys[path] = image.key
        if reason := find_image_problem(path):
            reasons[path] = reason
    return ImageChecks(keys, reasons)


class _LengthMeasure:
    """Measures how long posts with their cached contexts are for the encoder that would be trained."""

    def __init__(self, dataset: Dataset, options: Options, training: TrainOptions, workspace: Workspace) -> None:
        """Load the encoder's tokenizer.

        Raises:
            StageError: the encoder is missing.
            UsageError: a setting is unknown.
        """
        choice = resolve_preset(options, also=("training",), contexts=training.contexts or ())
        self.notes = [choice.why]
        changes = options.changes.get("training", {})
        settings = training_settings(dataset.card, choice.preset, changes, training)
        tokenizer, max_length = _load_tokenizer(find_encoder(training.encoder or choice.preset.encoder))
        self.encoder = ViewEncoder(tokenizer, min(settings.max_length, max_length))
        self.contexts = self._read_contexts(dataset, choice.preset, options, training, workspace)

    def _read_contexts(
        self, dataset: Dataset, preset: Preset, options: Options, training: TrainOptions, workspace: Workspace
    ) -> PostContexts | None:
        try:
            plan = plan_dataset_contexts(dataset, preset, options, training, workspace.store)
        except StageError as error:
            self.notes.append(f"lengths are those of the posts alone: {error}")
            return None
        stale = max((len(part.stale) for part in plan.pictures.plan.stages), default=0)
        if stale:
            what = f"the contexts of {stale} pictures are not extracted yet and count as nothing"
            self.notes.append(f"{what}: ita train, or ita data export, extracts them")
        return replace(read_contexts(plan, workspace.store), by_id=read_imported(plan))

    def __call__(self, post: Post) -> ViewFit:
        if not post.words:
            return ViewFit(1, 0)
        view = self.encoder.encode(post.words, self.contexts.render(post) if self.contexts else ())
        return ViewFit(len(view.rows), view.trimmed)


def _load_tokenizer(encoder: EncoderRef) -> tuple[Any, int]:
    """Load a text encoder's tokenizer and its maximum number of sub-tokens, without its weights."""
    from transformers import AutoConfig, AutoTokenizer

    config = load_pretrained(AutoConfig, encoder.source, encoder.identity)
    tokenizer = load_pretrained(AutoTokenizer, encoder.source, encoder.identity, add_prefix_space=True)
    return tokenizer, max_row_length(SimpleNamespace(config=config), tokenizer)
