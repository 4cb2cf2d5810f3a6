"""Examples on the page of the demo: posts of test, those first that only the picture made right."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from pathlib import Path

from ita_pipeline.cache.store import Workspace
from ita_pipeline.core.errors import UserError
from ita_pipeline.core.progress import Notes
from ita_pipeline.reports.posts import judge_answers, read_posts
from ita_pipeline.reports.writer import load_run_dataset
from ita_pipeline.runs.run import Run

logger = logging.getLogger(__name__)

MAX_EXAMPLES = 6


@dataclass(frozen=True, slots=True)
class ExamplePost:
    """The text of a post and the file of its picture."""

    text: str
    picture: Path


def list_examples(run: Run, workspace: Workspace) -> list[ExamplePost]:
    """List posts of test with a picture; none if the dataset is no longer where it was in training."""
    try:
        dataset = load_run_dataset(run.record(), workspace)
        items = list(read_posts(run, dataset, Notes(logger), ["test"]))
    except UserError:
        return []
    items.sort(key=lambda item: judge_answers(item.answers)[1])
    posts = [item.post for item in items]
    return [ExamplePost(post.text, post.picture) for post in posts if post.picture is not None][:MAX_EXAMPLES]
