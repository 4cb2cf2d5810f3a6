"""How well gold mentions are grounded: `python -m benchmarks.grounding DATASET [FOLDER]`.

DATASET is a name, card or folder; FOLDER is where its files are. The grounder is trained on train and measured on
the other splits, with gold spans and types, beside the floors. It reads the dataset's captions if it has a file of
them, and what the preset `bundled` finds in the pictures that are there, which is cached in `.ita`.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from ita_pipeline.cache.store import Workspace
from ita_pipeline.core.progress import NoProgress
from ita_pipeline.corpus.datasets import load_dataset
from ita_pipeline.corpus.posts import Post
from ita_pipeline.engines.local import LocalEngine
from ita_pipeline.engines.sandbox import SubprocessExecutor
from ita_pipeline.extraction.contexts import PostContexts, make_contexts
from ita_pipeline.extraction.options import Options
from ita_pipeline.extraction.presets import resolve_preset
from ita_pipeline.grounding.grounder import Grounder, picture_size
from ita_pipeline.grounding.metrics import Groundability, agree, floors, measure_floor, measure_groundability
from ita_pipeline.runs.grounding import train_grounder
from ita_pipeline.runs.plan import TrainOptions, plan_dataset_contexts
from ita_pipeline.runs.queries import EvidenceReader, evidence_of


def measure(grounder: Grounder, posts: Sequence[Post], contexts: PostContexts) -> tuple[Groundability, str]:
    """Measure the gold mentions of posts; and how many of those in the picture get the right box."""
    gold = [span for post in posts for span in post.gold or ()]
    found = [one for post in posts for one in grounder.ground(post, post.gold or (), evidence_of(contexts, post))]
    shown = [(span, one) for span, one in zip(gold, found, strict=True) if span.boxes]
    right = sum(agree(span.boxes or (), one.boxes) for span, one in shown)
    measured = measure_groundability(gold, [one.visible for one in found], [one.boxes for one in found])
    return measured, f"right box: {right} of {len(shown)} in the picture"


def show(name: str, found: Groundability, more: str = "") -> None:
    auroc = "" if found.auroc is None else f"{found.auroc:.3f}"
    print(f"{name:18} {100 * found.boxes:6.1f} {100 * found.accuracy:6.1f} {auroc:>6}  {more}")


def main(name: str, folder: Path | None = None) -> None:
    options = Options(preset="bundled")
    store = Workspace(options.workspace).store
    dataset = load_dataset(name, folder, Workspace(options.workspace).data)
    preset = resolve_preset(options, also=("training", "grounding")).preset
    plan = plan_dataset_contexts(dataset, preset, options, TrainOptions(data=folder), store)
    with SubprocessExecutor(options.limits) as executor:
        contexts = make_contexts(plan, store, LocalEngine(executor), NoProgress())
    grounder = train_grounder(dataset.splits["train"], EvidenceReader(contexts))
    if grounder is None:
        raise SystemExit(f"{name} has no boxes to learn from")
    print(f"{'%':18} {'right':>6} {'shown?':>6} {'AUROC':>6}")
    for split in ("dev", "test"):
        posts = dataset.splits[split]
        show(f"{split}, grounder", *measure(grounder, posts, contexts))
        sized = [(post, evidence_of(contexts, post).size or picture_size(post)) for post in posts]
        for floor in floors(grounder.priors):
            show(f"{split}, {floor.name}", measure_floor(floor, sized))


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]) if len(sys.argv) > 2 else None)
