"""A trained run as a folder that stands alone, with a card, ready for a hub."""

from __future__ import annotations

import hashlib
import json
import shutil
from pathlib import Path
from typing import Any

from ita_pipeline.cache.workspace import Workspace
from ita_pipeline.core.errors import MissingError
from ita_pipeline.core.files import new_folder, refuse_existing
from ita_pipeline.runs.model_card import card
from ita_pipeline.runs.run import Run, RunRecord, find_run

# What a run's record says of the machine it was trained on, and of nothing else.
LOCAL = ("command", "source", "folder")

READ_FROM = ("_name_or_path", "name_or_path")

SUFFIXES = (".json", ".safetensors", ".txt", ".model")

CARD, SUMS = "README.md", "SHA256SUMS"


def export_model(run: str | Path, to: Path, workspace: Path = Path()) -> Run:
    """Copy a run's model, its record, its scores and a card into a new folder; `ita.load` takes that folder.

    No post and no picture goes with it, and no path of this machine.

    Raises:
        MissingError: there is no such run, or it has no weights.
        UsageError: `to` is there already.
    """
    found = find_run(run, Workspace(workspace).runs)
    refuse_existing(to)
    record, scores = found.record(), found.scores()
    if not any(found.model.glob("*.safetensors")):
        raise MissingError(f"{found.model} has no weights", "train it again")
    with new_folder(to) as folder:
        for file in sorted(found.model.iterdir()):
            if file.is_file() and file.suffix in SUFFIXES:
                copy_file(file, folder / file.name)
        (folder / "run.json").write_text(without_places(record).model_dump_json(indent=2) + "\n", "utf-8")
        (folder / "scores.json").write_text(scores.to_json(), "utf-8")
        (folder / CARD).write_text(card(without_places(record), scores), "utf-8")
        (folder / SUMS).write_text(sums(folder), "utf-8")
    return Run(to)


def copy_file(file: Path, to: Path) -> None:
    """A file as it is, but the configurations of transformers without the folder they were read from."""
    if not file.name.endswith("config.json"):
        shutil.copyfile(file, to)
        return
    to.write_text(json.dumps(without_folders(json.loads(file.read_text("utf-8"))), indent=2) + "\n", "utf-8")


def without_folders(value: Any) -> Any:
    if isinstance(value, list):
        return [without_folders(item) for item in value]
    if not isinstance(value, dict):
        return value
    return {
        name: as_name(item) if name in READ_FROM and isinstance(item, str) else without_folders(item)
        for name, item in value.items()
    }


def without_places(record: RunRecord) -> RunRecord:
    """The record without this machine's paths; a model that was a folder keeps the folder's own name."""
    content = json.loads(record.model_dump_json())
    content |= {name: "" for name in LOCAL if name in content}
    content["encoder"] = as_name(content["encoder"])
    content["stages"] = {
        stage: {name: as_name(value) if isinstance(value, str) else value for name, value in settings.items()}
        for stage, settings in content["stages"].items()
    }
    return RunRecord.model_validate(content)


def as_name(value: str) -> str:
    path = Path(value).expanduser()
    return path.name if path.is_absolute() or path.is_dir() or value.startswith(".") else value


def sums(folder: Path) -> str:
    """The form that `sha256sum --check` reads."""
    lines = []
    for file in sorted(folder.iterdir()):
        with file.open("rb") as opened:
            lines.append(f"{hashlib.file_digest(opened, 'sha256').hexdigest()}  {file.name}\n")
    return "".join(lines)
