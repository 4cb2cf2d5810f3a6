"""Datasets looked at, checked and counted: what `ita data` does, for Python as `ita_pipeline.api.data`."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from ita_pipeline.cache.workspace import Workspace
from ita_pipeline.core.config import config_files, parse_config, read_yaml
from ita_pipeline.core.errors import MissingError, UsageError, nearest
from ita_pipeline.core.files import new_folder, refuse_existing
from ita_pipeline.core.progress import NoProgress, Progress
from ita_pipeline.corpus import checks
from ita_pipeline.corpus.checks import Finding, FindingKind, ImageChecks, ViewFit
from ita_pipeline.corpus.datasets import Dataset, DatasetCard, find_data_folder, find_split_files, load_dataset
from ita_pipeline.corpus.exporting import describe_changes, write_export
from ita_pipeline.corpus.formats.kbner import ExportForm
from ita_pipeline.corpus.line_errors import TOLERATED, LineError
from ita_pipeline.corpus.posts import Post
from ita_pipeline.corpus.stats import SplitStats, compute_stats
from ita_pipeline.engines.local import LocalEngine
from ita_pipeline.engines.sandbox import SubprocessExecutor
from ita_pipeline.extraction.consent import ask_consent
from ita_pipeline.extraction.contexts import (
    ContextPlan,
    PostContexts,
    make_contexts,
    read_contexts,
    read_imported,
)
from ita_pipeline.extraction.options import Options, resolve_preset
from ita_pipeline.extraction.pictures import Extraction
from ita_pipeline.extraction.presets import PresetChoice
from ita_pipeline.ner.encoders import EncoderRef, find_encoder, max_row_length
from ita_pipeline.ner.views import ViewEncoder
from ita_pipeline.runs.plan import TrainOptions, plan_dataset_contexts, training_settings
from ita_pipeline.sources.decode import find_image_problem
from ita_pipeline.sources.identify import identify
from ita_pipeline.sources.local import LocalFile
from ita_pipeline.sources.refs import ImageRef
from stages.base import StageError
from stages.models.loading import load_pretrained

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Listed:
    """A dataset that has a card, and where its files are; `missing` and `hint` say why where they are not."""

    name: str
    card: DatasetCard
    folder: Path | None
    files: Mapping[str, Path] = field(default_factory=dict)
    missing: str = ""
    hint: str = ""


def listed(data: Path | None = None, workspace: Path = Path()) -> list[Listed]:
    """Every dataset that comes with a card."""
    return [
        look_for(name, file, data, Workspace(workspace).data) for name, file in config_files("datasets").items()
    ]


def look_for(name: str, file: Path, data: Path | None, workspace_data: Path) -> Listed:
    card = parse_config(DatasetCard, read_yaml(file), f"dataset card {file.name}")
    try:
        folder = find_data_folder(name, card, data, workspace_data)
        return Listed(name, card, folder, find_split_files(name, card, folder))
    except MissingError as error:
        return Listed(name, card, None, {}, str(error), error.hint)


def stats(name: str, data: Path | None = None, workspace: Path = Path()) -> dict[str, SplitStats]:
    """A dataset in numbers, split by split.

    Raises:
        UserError: the dataset is missing, or a line of it is faulty.
    """
    return compute_stats(load_dataset(name, data, Workspace(workspace).data).splits)


@dataclass(frozen=True, slots=True)
class Checked:
    """What a check found. `notes` say what could not be checked, or is worth knowing and not wrong."""

    dataset: str
    posts: Mapping[str, int]
    findings: tuple[Finding, ...]
    notes: tuple[str, ...] = ()

    @property
    def clean(self) -> bool:
        return not self.findings

    @property
    def by_kind(self) -> dict[FindingKind, list[Finding]]:
        return checks.group_by_kind(self.findings)

    def to_json(self) -> dict[str, Any]:
        findings = [
            {
                "kind": found.kind.name,
                "split": found.split,
                "post": found.post,
                "file": found.file,
                "line": found.line,
                "what": found.what,
            }
            for kind in self.by_kind.values()
            for found in kind
        ]
        return {
            "schema": "ita.data-check/1",
            "dataset": self.dataset,
            "posts": dict(self.posts),
            "counts": {kind.name: len(found) for kind, found in self.by_kind.items()},
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
    """Look for what spoils training or its scores: see `corpus.checks.KINDS`. Kinds named in `ignore` are left out.

    Contexts are taken as far as they were extracted; no stage runs.

    Raises:
        UsageError: the dataset is unknown, a file of it is no text, or `ignore` names no kind.
        MissingError: a file of it is missing.
    """
    options, training = options or Options(), training or TrainOptions()
    check_kinds(ignore)
    faults: list[LineError] = []
    workspace = Workspace(options.workspace)
    dataset = load_dataset(name, training.data, workspace.data, faults.append)
    pictures = look_at_pictures(dataset, workspace)
    findings = [*checks.check_lines(faults), *checks.check_posts(dataset.splits)]
    findings += checks.check_images(dataset.splits, pictures)
    notes = list(dataset.notes)
    try:
        measure = Measure(dataset, options, training)
        findings += checks.check_lengths(dataset.splits, measure)
        notes += measure.remarks
    except StageError as error:
        notes.append(f"lengths are not checked: {error}" + (f" ({error.hint})" if error.hint else ""))
    posts = {split: len(found) for split, found in dataset.splits.items()}
    kept = tuple(finding for finding in findings if finding.kind.name not in ignore)
    broken = any(fault.kind not in TOLERATED for fault in faults)
    if broken:
        notes.append("what cannot be read was left out of the other checks; check again when it is mended")
    return Checked(dataset.name, posts, kept, tuple(notes))


def check_kinds(names: tuple[str, ...]) -> None:
    known = [kind.name for kind in checks.KINDS]
    for name in names:
        if name not in known:
            raise UsageError(f"there is no kind of finding {name}", nearest(name, known) or ", ".join(known))


def look_at_pictures(dataset: Dataset, workspace: Workspace) -> ImageChecks:
    """The content key of every picture, and why a file is none: its header is read, nothing is decoded."""
    paths = list(dict.fromkeys(post.picture for post in dataset.posts if post.picture is not None))
    keys: dict[Path, str] = {}
    bad: dict[Path, str] = {}
    for path, found in zip(paths, identify(map(LocalFile, paths), workspace.store.manifest), strict=True):
        if not isinstance(found, ImageRef):
            bad[path] = found.reason
            continue
        keys[path] = found.key
        reason = find_image_problem(path)
        if reason:
            bad[path] = reason
    return ImageChecks(keys, bad)


class Measure:
    """How long each post is for the encoder that would be trained, with the contexts that are known of it."""

    def __init__(self, dataset: Dataset, options: Options, training: TrainOptions) -> None:
        """
        Raises:
            StageError: the encoder is not at hand.
            UsageError: a setting is unknown.
        """
        self.remarks: list[str] = []
        choice = resolve_preset(options, also=("training",), contexts=training.contexts or ())
        changes = options.changes.get("training", {})
        settings = training_settings(dataset.card, choice.preset, changes, training)
        tokenizer, longest = tokenizer_of(find_encoder(training.encoder or choice.preset.encoder))
        self.layout = ViewEncoder(tokenizer, min(settings.max_length, longest))
        self.remarks.append(choice.why)
        self.contexts = self.known_contexts(dataset, choice, options, training)

    def known_contexts(
        self, dataset: Dataset, choice: PresetChoice, options: Options, training: TrainOptions
    ) -> PostContexts | None:
        try:
            plan = plan_known(dataset, choice, options, training)
        except StageError as error:
            self.remarks.append(f"lengths are those of the posts alone: {error}")
            return None
        stale = max((len(part.stale) for part in plan.pictures.plan.stages), default=0)
        if stale:
            told = f"the contexts of {stale} pictures are not extracted yet and count as nothing"
            self.remarks.append(f"{told}: ita train, or ita data export, extracts them")
        return replace(read_contexts(plan, Workspace(options.workspace).store), by_id=read_imported(plan))

    def __call__(self, post: Post) -> ViewFit:
        if not post.words:
            return ViewFit(1, 0)
        view = self.layout.encode(post.words, self.contexts.render(post) if self.contexts else ())
        return ViewFit(len(view.rows), view.trimmed)


def plan_known(dataset: Dataset, choice: PresetChoice, options: Options, training: TrainOptions) -> ContextPlan:
    """What has to be done before the contexts of a dataset can be rendered, as `train` would do it.

    Raises:
        UsageError: a setting or a context is unknown.
        StageError: a model or tool is missing.
    """
    store = Workspace(options.workspace).store
    return plan_dataset_contexts(dataset, choice.preset, options, training, store)


def tokenizer_of(encoder: EncoderRef) -> tuple[Any, int]:
    """A text encoder's tokenizer and how many sub-tokens it reads at once, without loading its weights."""
    from transformers import AutoConfig, AutoTokenizer

    config = load_pretrained(AutoConfig.from_pretrained, encoder.source, encoder.identity)
    tokenizer = load_pretrained(
        AutoTokenizer.from_pretrained, encoder.source, encoder.identity, add_prefix_space=True
    )
    return tokenizer, max_row_length(SimpleNamespace(config=config), tokenizer)


@dataclass(frozen=True, slots=True)
class Exported:
    """Where the files are, what was written otherwise than it was, and what was extracted for it."""

    files: tuple[Path, ...]
    notes: tuple[str, ...]
    extraction: Extraction


def export(
    name: str,
    to: Path,
    form: ExportForm = ExportForm.ITA,
    options: Options | None = None,
    training: TrainOptions | None = None,
    progress: Progress | None = None,
) -> Exported:
    """A dataset and its contexts for another project, after the pictures that are stale have been looked at.

    `ITA` writes two parallel folders, tweets alone in `<name>` and with contexts in `<name>_doc`, and the pictures'
    ids line by line in `img`, as KB-NER reads them. `ADASEQ` writes one folder with contexts.

    Raises:
        UserError: the dataset or a setting is missing or wrong, or `to` is there already.
        StageError: a model or tool is missing; what was computed before is kept.
    """
    options, training = options or Options(), training or TrainOptions()
    refuse_existing(to)
    workspace = Workspace(options.workspace)
    dataset = load_dataset(name, training.data, workspace.data)
    choice = resolve_preset(options, also=("training",), contexts=training.contexts or ())
    logger.info(choice.why)
    plan = plan_known(dataset, choice, options, training)
    ask_consent(plan.plan, options.consent, options.confirm)
    with SubprocessExecutor(options.limits) as executor:
        contexts = make_contexts(plan, workspace.store, LocalEngine(executor), progress or NoProgress())
    splits = {
        split: [(post, contexts.render(post)) for post in posts if post.words]
        for split, posts in dataset.splits.items()
    }
    with new_folder(to) as folder:
        files = write_export(folder, dataset.name, splits, form)
    places = tuple(to / file.relative_to(folder) for file in files)
    return Exported(places, tuple(describe_changes(dataset, splits)), contexts.extraction)
