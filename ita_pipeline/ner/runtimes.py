"""What computes a trained tagger: ONNX Runtime, which starts within a second, or torch.

A tagger is a folder with `config.json`, the tokenizer and, for each runtime, what it reads:

    torch      model.safetensors
    onnx       model.onnx, which contains the computation and refers to the weights in model.safetensors
    onnx-int8  model_int8.onnx, which also contains the weights, as integers of eight bits

`graphs` writes the ONNX files.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from dataclasses import dataclass
from pathlib import Path
from threading import Thread
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from pydantic import BaseModel, ValidationError

from ita_pipeline.core.errors import MissingError, UsageError, nearest
from ita_pipeline.core.files import open_regular
from ita_pipeline.ner.config import RuntimeName
from ita_pipeline.ner.prediction import Runtime
from ita_pipeline.ner.subtokens import SubTokenizer
from ita_pipeline.ner.tags import TagScheme
from ita_pipeline.ner.views import ViewEncoder, collate
from stages.base import Frozen, StageError
from stages.models.libraries import open_session
from stages.models.loading import MAX_CONFIG_BYTES, load_weights, pick_device
from stages.models.threads import count_cores

if TYPE_CHECKING:
    from torch import Tensor

    from ita_pipeline.ner.tagger import Tagger

GRAPH_FILES: Mapping[RuntimeName, str] = {"onnx": "model.onnx", "onnx-int8": "model_int8.onnx"}

MAX_GRAPH_BYTES = 2_000_000_000  # that of the format

# The limits of a call of a graph, which someone else may have written: its memory, and its seconds.
MAX_MEMORY, MAX_SECONDS = 8 << 30, 300.0

DAMAGED = "the folder of the run is damaged: copy it again, or train again"


def rebuild_hint(runtime: RuntimeName) -> str:
    """Return a hint to make a new graph."""
    kind = " int8" if runtime == "onnx-int8" else ""
    return f"ita export-model RUN --to FOLDER --onnx{kind} makes a new graph, and --runtime torch needs none"


class GraphRecord(Frozen):
    """The sha256 of a graph, and of each file of weights that it was made from."""

    sha256: str
    weights: Mapping[str, str]


Graphs = Mapping[RuntimeName, GraphRecord]
"""The graphs that a tagger has."""


class TaggerSettings(BaseModel):
    """The fields of `config.json` that describe the tagger. A field that is missing there has its default."""

    model_type: Literal["ita_tagger"]
    types: tuple[str, ...]
    max_length: int = 512
    word_shapes: bool = False


@dataclass(frozen=True, slots=True)
class LoadedTagger:
    """A tagger, and what encodes posts for it. `note` is a remark for the user, or empty."""

    runtime: Runtime
    encoder: ViewEncoder
    note: str = ""


def load_tagger(
    folder: Path, graphs: Mapping[RuntimeName, GraphRecord], runtime: RuntimeName = "auto"
) -> LoadedTagger:
    """Load the tagger in a folder.

    `graphs` are the graphs that it should have, by runtime. With `auto`, ONNX Runtime computes the first of them,
    and torch a tagger without graphs.

    Raises:
        MissingError: there is no graph for this runtime.
        StageError: a file is missing or damaged, or a graph is not the recorded one or was made from other weights.
    """
    try:
        with open_regular(folder / "config.json") as opened:
            settings = TaggerSettings.model_validate_json(opened.read(MAX_CONFIG_BYTES))
    except OSError as error:
        raise StageError(f"{folder / 'config.json'} cannot be read: {error.strerror}", DAMAGED) from error
    except ValidationError as error:
        raise StageError(f"{folder / 'config.json'} is not the configuration of a tagger", DAMAGED) from error
    try:
        encoder = ViewEncoder(SubTokenizer.load(folder), settings.max_length, settings.word_shapes)
    except StageError as error:
        raise StageError(str(error), DAMAGED) from error
    note = ""
    if runtime == "auto":
        available: list[RuntimeName] = [*(name for name in GRAPH_FILES if name in graphs), "torch"]
        runtime = available[0]
        note = "" if graphs else f"{folder} has no ONNX graph, so torch computes it, which takes longer to start"
    if runtime == "torch":
        return LoadedTagger(TorchRuntime.load(folder), encoder, note)
    if runtime not in GRAPH_FILES:
        known = ["auto", *GRAPH_FILES, "torch"]
        hint = nearest(runtime, known) or f"known are {', '.join(known)}"
        raise UsageError(f"there is no runtime {runtime}", hint)
    if runtime not in graphs:
        raise MissingError(f"{folder} has no graph for the runtime {runtime}", rebuild_hint(runtime))
    scheme, graph = TagScheme(settings.types), read_graph(folder, runtime, graphs[runtime])
    return LoadedTagger(OnnxRuntime(graph, folder, scheme, encoder, runtime), encoder)


def read_graph(folder: Path, runtime: RuntimeName, record: GraphRecord) -> bytes:
    """Read a graph, after checking it and the weights beside it.

    Raises:
        StageError: the graph is not the recorded one, or was made from other weights.
    """
    file = folder / GRAPH_FILES[runtime]
    try:
        with open_regular(file) as opened:
            graph = opened.read(MAX_GRAPH_BYTES)
        if hashlib.sha256(graph).hexdigest() != record.sha256:
            raise StageError(f"the graph {file} is not the one that run.json names", rebuild_hint(runtime))
        weights = hash_weights(folder)
    except OSError as error:
        raise StageError(f"{error.filename} cannot be read: {error.strerror}", rebuild_hint(runtime)) from error
    # A graph that contains its weights works without the original ones.
    if weights != record.weights and (weights or runtime == "onnx"):
        raise StageError(
            f"the weights in {folder} are not those that {file.name} was made from", rebuild_hint(runtime)
        )
    return graph


def hash_weights(folder: Path) -> dict[str, str]:
    """Return the sha256 of each file of weights in a folder.

    Raises:
        OSError: a file cannot be read.
    """
    digests: dict[str, str] = {}
    for file in sorted(folder.glob("*.safetensors")):
        digest = hashlib.sha256()
        with open_regular(file) as opened:
            for chunk in iter(lambda: opened.read(1 << 20), b""):
                digest.update(chunk)
        digests[file.name] = digest.hexdigest()
    return digests


class OnnxRuntime:
    """Computes a tagger with ONNX Runtime on the CPU.

    The graph takes a batch of `collate` and returns its emissions, and the CRF's moves, which are always the same.
    """

    def __init__(
        self, graph: bytes, folder: Path, scheme: TagScheme, encoder: ViewEncoder, name: RuntimeName = "onnx"
    ) -> None:
        """Open the graph; `folder` contains the weights that it refers to.

        Raises:
            StageError: it is not the graph of such a tagger.
        """
        self.scheme = scheme
        self.moves: np.ndarray = np.empty((0, 0))
        size, word = len(scheme.labels), encoder.encode(["a"])
        try:
            self._session = _within_limit(
                lambda: open_session(graph, threads=count_cores(), weights_folder=folder, max_bytes=MAX_MEMORY)
            )
            shape = self.emissions(collate([word], encoder.pad)).shape
        except StageError:
            raise
        except Exception as error:  # ONNX Runtime has one class of errors per kind of problem, and no common one
            reason = str(error).splitlines()[0]
            raise StageError(f"the graph in {folder} cannot be used: {reason}", rebuild_hint(name)) from error
        if shape != (1, 1, size) or self.moves.shape != (size + 1, size + 1):
            raise StageError(f"the graph in {folder} is that of another tagger", rebuild_hint(name))

    def emissions(self, batch: Mapping[str, np.ndarray]) -> np.ndarray:
        """Implement `Runtime.emissions`.

        Raises:
            StageError: the graph takes too long.
        """
        results: Any = _within_limit(lambda: self._session.run(["emissions", "moves"], dict(batch)))
        emissions, self.moves = results
        return emissions


def _within_limit(call: Callable[[], Any]) -> Any:
    """Return the result of a call of ONNX Runtime.

    It runs in a thread that can be abandoned, as a graph may contain a loop without an end, and a call of the
    library reacts to no signal.

    Raises:
        StageError: it takes longer than `MAX_SECONDS`.
    """
    future = Future[Any]()

    def run() -> None:
        try:
            future.set_result(call())
        except Exception as error:
            future.set_exception(error)

    Thread(target=run, daemon=True).start()
    try:
        return future.result(MAX_SECONDS)
    except TimeoutError as error:
        raise StageError(f"the model's graph takes longer than {MAX_SECONDS:g} s", rebuild_hint("onnx")) from error


class TorchRuntime:
    """Computes a tagger with torch, on the device where it is."""

    def __init__(self, tagger: Tagger) -> None:
        self.tagger = tagger

    @classmethod
    def load(cls, folder: Path) -> TorchRuntime:
        """Load the weights in a folder, onto a GPU if there is one.

        Raises:
            StageError: the files are incomplete.
        """
        from ita_pipeline.ner.tagger import Tagger

        try:
            return cls(load_weights(Tagger, str(folder), "", pick_device("auto")))
        except StageError as error:
            raise StageError(str(error), DAMAGED) from error

    @property
    def scheme(self) -> TagScheme:
        """The tag scheme."""
        return self.tagger.config.scheme

    @property
    def moves(self) -> np.ndarray:
        """The CRF's moves, which training changes."""
        return self.tagger.crf.moves().detach().numpy()

    def emissions(self, batch: Mapping[str, np.ndarray]) -> np.ndarray:
        """Implement `Runtime.emissions`."""
        import torch

        tagger = self.tagger.eval()
        with torch.inference_mode():
            inputs = {name: tensor.to(tagger.device) for name, tensor in as_tensors(batch).items()}
            return tagger.emissions(**inputs).float().cpu().numpy()


def as_tensors(batch: Mapping[str, np.ndarray]) -> dict[str, Tensor]:
    """Convert a batch of `collate` for torch."""
    import torch

    return {name: torch.from_numpy(array) for name, array in batch.items()}
