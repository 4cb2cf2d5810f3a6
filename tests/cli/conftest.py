"""A picture, and a workspace with a trained run that several test files share."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.fakes import Answer, draw, ita
from tests.support.small_dataset import SETTINGS, make_posts


@pytest.fixture
def images() -> Path:
    """A folder with one picture."""
    draw(Path("images/a.png"))
    return Path("images")


@pytest.fixture(scope="session")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a dataset `mine` and an encoder."""
    root = tmp_path_factory.mktemp("workspace")
    make_posts(root)
    return root


@pytest.fixture(scope="session")
def trained(workspace: Path) -> tuple[Answer, Path]:
    """What the first training on `mine` printed, and its run."""
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(workspace)
        answer = ita("train", "--dataset", "mine", *SETTINGS)
    assert answer.code == 0, answer.err
    run = answer.out.splitlines()[-2].split()[1]
    return answer, workspace / run
