"""Export of a run as a self-contained folder with a model card, ready for a model hub."""

from __future__ import annotations

import hashlib
import json
import logging
import re
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import yaml

from ita_pipeline.cache.store import Store, Workspace
from ita_pipeline.core.errors import MissingError, UsageError, UserError
from ita_pipeline.core.files import MAX_TEXT_BYTES, new_folder, read_regular, refuse_existing
from ita_pipeline.core.progress import NoProgress, activity
from ita_pipeline.corpus.datasets import load_dataset
from ita_pipeline.extraction.presets import list_models
from ita_pipeline.grounding.files import NAME as GROUNDER
from ita_pipeline.ner.config import RuntimeName
from ita_pipeline.ner.runtimes import GRAPH_FILES, GraphRecord, TorchRuntime, load_tagger, read_graph
from ita_pipeline.runs.evaluation import evaluate_run
from ita_pipeline.runs.lookup import find_run
from ita_pipeline.runs.predictor import Predictor
from ita_pipeline.runs.push import push_model as push_model
from ita_pipeline.runs.push import repository_address as repository_address
from ita_pipeline.runs.run import Run, RunRecord, RunScores
from stages.base import StageError

logger = logging.getLogger(__name__)

# Fields of a run's record that only describe the machine it was trained on.
LOCAL_FIELDS = ("command", "source", "folder")

PATH_FIELDS = ("_name_or_path", "name_or_path")


def export_model(
    run: str | Path, to: Path, workspace: Path = Path(), onnx: Literal["", "fp32", "int8"] = ""
) -> Run:
    """Copy a run's model, record, scores and model card into a new folder, which `ita.load` accepts.

    The folder contains no post, no picture and no path of this machine. With `onnx`, a new ONNX graph is made,
    as for a run without one. With "int8", there is another one in integers, and the F1 of both on dev is logged.

    Raises:
        MissingError: the run does not exist or has no weights.
        StageError: the weights cannot be loaded, a graph is damaged, or none can be made of this encoder.
        UsageError: `to` exists already, or a file of the run is damaged or a link to another folder.
    """
    source = find_run(run, Workspace(workspace).runs)
    refuse_existing(to)
    record, scores = _without_local_paths(source.record()), source.scores()
    if not any(source.model.glob("*.safetensors")):
        raise MissingError(f"{source.model} has no weights", "train it again")
    with new_folder(to) as folder:
        for file in sorted(source.model.iterdir()):
            if file.is_file() and file.suffix in (".json", ".safetensors", ".txt", ".model"):
                _copy_file(file, folder / file.name, source)
        if (grounder := source.folder / GROUNDER).is_file():
            (folder / GROUNDER).parent.mkdir()
            _copy_file(grounder, folder / GROUNDER, source)
        record = record.model_copy(update={"graphs": _export_graphs(source, record, folder, onnx)})
        if onnx == "int8":
            _compare_on_dev(source, folder, record.graphs, Workspace(workspace).store)
        (folder / "run.json").write_text(record.model_dump_json(indent=2) + "\n", "utf-8")
        (folder / "scores.json").write_text(scores.to_json(), "utf-8")
        (folder / "README.md").write_text(model_card(record, scores), "utf-8")
        (folder / "SHA256SUMS").write_text(_checksums(folder), "utf-8")
    return Run(to)


def _export_graphs(source: Run, record: RunRecord, folder: Path, onnx: str) -> dict[RuntimeName, GraphRecord]:
    """Copy the graphs of a run to a folder with its weights, or make new ones."""
    if onnx:
        from ita_pipeline.ner.graphs import write_graph, write_int8_graph

        with activity("writing the ONNX graph"):
            graph = write_graph(TorchRuntime.load(folder).tagger.cpu(), folder)
            graphs: dict[RuntimeName, GraphRecord] = {"onnx": graph}
        if onnx == "int8":
            with activity("writing the ONNX graph in integers"):
                graphs["onnx-int8"] = write_int8_graph(folder)
        return graphs
    for name, graph in record.graphs.items():
        (folder / GRAPH_FILES[name]).write_bytes(read_graph(source.model, name, graph))
    return dict(record.graphs)


def _compare_on_dev(run: Run, folder: Path, graphs: Mapping[RuntimeName, GraphRecord], store: Store) -> None:
    """Log the F1 of the graphs in a folder on the run's dev posts, or why it cannot be measured."""
    record = run.record()
    if not record.source:
        logger.info("the F1 on dev was not measured, since an exported run does not name its posts")
        return
    try:
        dataset = load_dataset(record.source, Path(record.folder), Path(record.folder))
        predictor, found = Predictor(run, store), []
        for name in graphs:
            predictor.tagger = load_tagger(folder, graphs, name).runtime
            with activity(f"scoring the dev posts with the runtime {name}"):
                scores = evaluate_run(predictor, dataset, ("dev",), "auto", NoProgress()).scores.splits["dev"]
            f1 = (scores.text.micro.f1, scores.text_and_image.micro.f1)
            found.append(f"{name} T {100 * f1[0]:.2f}, I+T {100 * f1[1]:.2f}")
        logger.info(f"dev F1: {'; '.join(found)}")
    except (UserError, StageError) as error:
        logger.info(f"the F1 on dev was not measured: {error}")


def _copy_file(file: Path, to: Path, run: Run) -> None:
    """Copy a file, removing folders of this machine from configurations of transformers.

    Raises:
        UsageError: the file is a link out of the run, or a configuration is no JSON.
    """
    target, folder = file.resolve(), run.folder.resolve()
    # The hub's cache consists of links to its blobs. Other links could publish any file of this machine.
    if not target.is_relative_to(folder) and target.parent != folder.parent.parent / "blobs":
        raise UsageError(f"{file} is a link to {target}, which is not in the run's folder", "remove the link")
    if not file.name.endswith("config.json"):
        shutil.copyfile(file, to)
        return
    try:
        content = json.loads(read_regular(file, MAX_TEXT_BYTES), object_hook=_without_folders)
    except (ValueError, RecursionError) as error:
        raise UsageError(f"{file} is no configuration in JSON", "train it again") from error
    to.write_text(json.dumps(content, indent=2) + "\n", "utf-8")


def _without_folders(values: dict[str, Any]) -> dict[str, Any]:
    """Shorten the paths in one JSON object of a configuration."""
    paths = {name: values[name] for name in PATH_FIELDS if isinstance(values.get(name), str)}
    return values | {name: _last_name(path) for name, path in paths.items()}


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
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        with path.open("rb") as file:
            name = path.relative_to(folder).as_posix()
            lines.append(f"{hashlib.file_digest(file, 'sha256').hexdigest()}  {name}\n")
    return "".join(lines)


def model_card(record: RunRecord, scores: RunScores) -> str:
    """Return the model card as Markdown with the front matter that model hubs read.

    It shows the run's use, scores, inputs and limits; the text is in `templates/model_card.md`.
    """
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=PackageLoader("ita_pipeline.runs"),
        undefined=StrictUndefined,
        trim_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters["escaped"] = escape_markdown
    return environment.get_template("model_card.md").render(
        header=_front_matter(record, scores),
        record=record,
        scores=scores,
        training=yaml.safe_dump(record.training.model_dump(mode="json"), sort_keys=False),
        models=sorted(set(list_models(record.stages))),
    )


def _front_matter(record: RunRecord, scores: RunScores) -> str:
    from huggingface_hub import EvalResult, ModelCardData

    test = scores.splits["test"]
    results = [
        EvalResult(
            task_type="token-classification",
            task_name="named entity recognition",
            dataset_type=record.dataset,
            dataset_name=record.dataset,
            dataset_split="test",
            metric_type="f1",
            metric_name=f"F1, {view}",
            metric_value=round(view_scores.micro.f1, 4),
        )
        for view, view_scores in (("text", test.text), ("text and picture", test.text_and_image))
    ]
    is_hub_name = "/" in record.encoder and not record.encoder.startswith((".", "/", "~"))
    return ModelCardData(
        library_name="ita-pipeline",
        pipeline_tag="token-classification",
        tags=["named-entity-recognition", "multimodal", "tweets", "crf"],
        base_model=record.encoder.partition("@")[0] if is_hub_name else None,
        model_name=f"{record.dataset} {record.key[:12]}",
        eval_results=results,
    ).to_yaml()


def escape_markdown(text: str) -> str:
    """Escape all markup, so that Markdown shows the text literally on one line."""
    return re.sub(r"([\\`*_{}\[\]<>#|])", r"\\\1", " ".join(text.split()))
