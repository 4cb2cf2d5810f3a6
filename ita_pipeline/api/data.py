"""The Python API of `ita data`: list, check and count datasets."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from ita_pipeline.cache.store import Workspace
from ita_pipeline.core.config import config_files
from ita_pipeline.core.errors import MissingError, UsageError, nearest
from ita_pipeline.core.progress import activity
from ita_pipeline.core.text import format_count
from ita_pipeline.corpus import checks
from ita_pipeline.corpus.checks import ImageChecks, ViewFit
from ita_pipeline.corpus.datasets import CONTEXTS_FILE as CONTEXTS_FILE
from ita_pipeline.corpus.datasets import Dataset, DatasetCard, find_data_folder, find_split_files, load_dataset
from ita_pipeline.corpus.findings import Finding, FindingKind, group_by_kind
from ita_pipeline.corpus.importing import import_contexts as import_contexts
from ita_pipeline.corpus.line_errors import REFUSED, LineError
from ita_pipeline.corpus.posts import Post
from ita_pipeline.corpus.stats import SplitStats, compute_stats
from ita_pipeline.extraction.contexts import PostContexts, read_contexts, read_imported
from ita_pipeline.extraction.options import Options
from ita_pipeline.extraction.presets import Preset, resolve_preset
from ita_pipeline.ner.encoders import find_encoder, load_sub_tokenizer
from ita_pipeline.ner.views import ViewEncoder
from ita_pipeline.runs.plan import TrainOptions, plan_dataset_contexts, training_settings
from ita_pipeline.sources.decode import find_image_problem, measure_upright
from ita_pipeline.sources.identify import identify
from ita_pipeline.sources.local import LocalFile
from ita_pipeline.sources.refs import ImageRef
from stages.base import StageError

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class DatasetEntry:
    """A dataset that has a card, and its files; `missing` and `hint` say which files are missing, if any."""

    name: str
    card: DatasetCard
    folder: Path | None
    files: Mapping[str, Path] = field(default_factory=dict)
    missing: str = ""
    hint: str = ""


def list_datasets(data: Path | None = None, workspace: Path = Path()) -> list[DatasetEntry]:
    """Return every dataset that has a card."""
    entries: list[DatasetEntry] = []
    for name, file in config_files("datasets").items():
        card = DatasetCard.read(file)
        try:
            folder = find_data_folder(name, card, data, Workspace(workspace).data)
            entries.append(DatasetEntry(name, card, folder, find_split_files(name, card, folder)))
        except MissingError as error:
            entries.append(DatasetEntry(name, card, None, {}, str(error), error.hint))
    return entries


def stats(name: str, data: Path | None = None, workspace: Path = Path()) -> dict[str, SplitStats]:
    """Count posts, words, mentions and images of each split of a dataset.

    Raises:
        UserError: the dataset is missing or a line is malformed.
    """
    return compute_stats(load_dataset(name, data, Workspace(workspace).data).splits)


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
        return group_by_kind(self.findings)

    def to_json(self) -> dict[str, Any]:
        """Return the content of `ita data check --json`."""
        findings = [asdict(finding) for of_kind in self.by_kind.values() for finding in of_kind]
        return {
            "schema": "ita.data-check/1",
            "dataset": self.dataset,
            "posts": dict(self.posts),
            "counts": {kind: len(findings) for kind, findings in self.by_kind.items()},
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
    """Find the problems of a dataset that `FindingKind` lists, except the kinds named in `ignore`.

    Only cached contexts count; no stage runs.

    Raises:
        UsageError: the dataset is unknown, one of its files is not text, or `ignore` names an unknown kind.
        MissingError: a file of the dataset is missing.
    """
    options, training = options or Options(), training or TrainOptions()
    known = list(FindingKind)
    for kind in ignore:
        if kind not in known:
            hint = nearest(kind, known) or f"known are {', '.join(known)}"
            raise UsageError(f"there is no kind of finding {kind}", hint)
    errors: list[LineError] = []
    workspace = Workspace(options.workspace)
    dataset = load_dataset(name, training.data, workspace.data, errors.append)
    splits = dataset.splits
    findings = [*checks.check_lines(errors), *checks.check_trainable(splits), *checks.check_posts(splits)]
    with activity("checking the pictures"):
        findings += checks.check_images(splits, _check_images(dataset, workspace))
    notes = [*dataset.notes, *checks.describe_rare_types(splits)]
    try:
        with activity("measuring the posts"):
            findings += checks.check_lengths(splits, _length_measure(dataset, options, training, notes))
    except StageError as error:
        notes.append(f"lengths were not checked: {error}" + (f" ({error.hint})" if error.hint else ""))
    if any(error.kind in REFUSED for error in errors):
        notes.append("lines that cannot be read were skipped by the other checks; fix them and check again")
    counts = {split: len(posts) for split, posts in splits.items()}
    findings = [finding for finding in findings if finding.kind not in ignore]
    return Checked(dataset.name, counts, tuple(findings), tuple(notes))


def _check_images(dataset: Dataset, workspace: Workspace) -> ImageChecks:
    """Read the header of every image, without decoding it."""
    pictures = (picture for post in dataset.posts for picture in post.pictures)
    paths = list(dict.fromkeys(picture.file for picture in pictures if picture.file is not None))
    keys: dict[Path, str] = {}
    reasons: dict[Path, str] = {}
    for path, image in zip(paths, identify(map(LocalFile, paths), workspace.store.manifest), strict=True):
        if not isinstance(image, ImageRef):
            reasons[path] = image.reason
            continue
        keys[path] = image.key
        if reason := find_image_problem(path):
            reasons[path] = reason
    boxed = {post.picture for post in dataset.posts if any(span.boxes for span in post.gold or ())} & {*keys}
    sizes = {path: size for path in boxed if path and (size := measure_upright(path))}
    return ImageChecks(keys, reasons, sizes)


def _length_measure(
    dataset: Dataset, options: Options, training: TrainOptions, notes: list[str]
) -> Callable[[Post], ViewFit]:
    """Return a function that measures posts with their cached contexts for the encoder that would be trained.

    Raises:
        StageError: the encoder is missing.
        UsageError: a setting is unknown.
    """
    choice = resolve_preset(options, ("training", "grounding"), training.contexts or (), dataset.card.language)
    changes = options.changes.get("training", {})
    settings = training_settings(dataset.card, choice.preset, changes, training)
    tokenizer, max_length = load_sub_tokenizer(find_encoder(training.encoder or choice.preset.encoder))
    encoder = ViewEncoder(tokenizer, min(settings.max_length, max_length))
    notes.append(choice.why)
    contexts = _cached_contexts(dataset, choice.preset, options, training, notes)

    def measure(post: Post) -> ViewFit:
        if not post.words:
            return ViewFit(1, 0)
        view = encoder.encode(post.words, contexts.render(post) if contexts else ())
        return ViewFit(len(view.rows), view.trimmed)

    return measure


def _cached_contexts(
    dataset: Dataset, preset: Preset, options: Options, training: TrainOptions, notes: list[str]
) -> PostContexts | None:
    store = Workspace(options.workspace).store
    try:
        plan = plan_dataset_contexts(dataset, preset, options, training, store)
    except StageError as error:
        notes.append(f"lengths do not include the contexts: {error}")
        return None
    stale = max((len(part.stale) for part in plan.pictures.plan.stages), default=0)
    if stale:
        what = f"{format_count(stale, 'picture')} without extracted contexts"
        notes.append(f"{what} count as empty; ita train or ita data export extracts them")
    return replace(read_contexts(plan, store), by_name=read_imported(plan))
