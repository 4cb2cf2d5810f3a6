"""Export of a run as a self-contained folder with a model card, ready for a model hub."""

from __future__ import annotations

import hashlib
import json
import shutil
from pathlib import Path
from typing import TypeAlias

from ita_pipeline.cache.store import Workspace
from ita_pipeline.core.errors import MissingError
from ita_pipeline.core.files import new_folder, refuse_existing
from ita_pipeline.runs.model_card import model_card
from ita_pipeline.runs.run import Run, RunRecord, find_run

Json: TypeAlias = "dict[str, Json] | list[Json] | str | float | bool | None"

# Fields of a run's record that only describe the machine it was trained on.
LOCAL_FIELDS = ("command", "source", "folder")

PATH_FIELDS = ("_name_or_path", "name_or_path")


def export_model(run: str | Path, to: Path, workspace: Path = Path()) -> Run:
    """Copy a run's model, record, scores and model card into a new folder, which `ita.load` accepts.

    The folder contains no post, no picture and no path of this machine.

    Raises:
        MissingError: the run does not exist or has no weights.
        UsageError: `to` exists already.
    """
    source = find_run(run, Workspace(workspace).runs)
    refuse_existing(to)
    record, scores = _without_local_paths(source.record()), source.scores()
    if not any(source.model.glob("*.safetensors")):
        raise MissingError(f"{source.model} has no weights", "train it again")
    with new_folder(to) as folder:
        for file in sorted(source.model.iterdir()):
            if file.is_file() and file.suffix in (".json", ".safetensors", ".txt", ".model"):
                _copy_file(file, folder / file.name)
        (folder / "run.json").write_text(record.model_dump_json(indent=2) + "\n", "utf-8")
        (folder / "scores.json").write_text(scores.to_json(), "utf-8")
        (folder / "README.md").write_text(model_card(record, scores), "utf-8")
        (folder / "SHA256SUMS").write_text(_checksums(folder), "utf-8")
    return Run(to)


def _copy_file(file: Path, to: Path) -> None:
    """Copy a file, removing folders of this machine from configurations of transformers."""
    if not file.name.endswith("config.json"):
        shutil.copyfile(file, to)
        return
    content = _without_path_fields(json.loads(file.read_text("utf-8")))
    to.write_text(json.dumps(content, indent=2) + "\n", "utf-8")


def _without_path_fields(value: Json) -> Json:
    if isinstance(value, list):
        return [_without_path_fields(item) for item in value]
    if not isinstance(value, dict):
        return value
    return {
        name: _last_name(item) if name in PATH_FIELDS and isinstance(item, str) else _without_path_fields(item)
        for name, item in value.items()
    }


def _without_local_paths(record: RunRecord) -> RunRecord:
    """Remove this machine's paths from a record; a model that was a folder keeps the folder's own name."""
    content = json.loads(record.model_dump_json())
    content |= dict.fromkeys(LOCAL_FIELDS, "")
    content["encoder"] = _last_name(content["encoder"])
    for settings in content["stages"].values():
        settings |= {name: _last_name(value) for name, value in settings.items() if isinstance(value, str)}
    return RunRecord.model_validate(content)


def _last_name(value: str) -> str:
    """Return the last part of a path; other names, such as those of a hub, stay as they are."""
    path = Path(value).expanduser()
    return path.name if path.is_absolute() or path.is_dir() or value.startswith(".") else value


def _checksums(folder: Path) -> str:
    """Return SHA-256 checksums in the format of `sha256sum --check`."""
    lines = []
    for path in sorted(folder.iterdir()):
        with path.open("rb") as file:
            lines.append(f"{hashlib.file_digest(file, 'sha256').hexdigest()}  {path.name}\n")
    return "".join(lines)
