"""Sizes of a configuration: absurd ones are refused before they cost anything, and no code of the hub is run."""

from __future__ import annotations

import json
import resource
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from ita_pipeline.ner.encoders import EncoderRef, find_minilm, load_encoder
from stages.base import StageError
from stages.models.identity import identify
from stages.models.loading import load_pretrained
from stages.models.sizes import MAX_LAYERS, check_config, forbid_hub_kernels, list_shards
from stages.objects.hub_detectors import HubDetector
from stages.objects.timm_classifier import TimmClassifier
from tests.support.tiny_models import build_yolos
from tests.support.tiny_timm import build_timm


@pytest.fixture(scope="module")
def minilm() -> Path:
    return find_minilm()


def changed(source: Path, folder: Path, **changes: Any) -> Path:
    """A copy of a model, by links, with another configuration."""
    folder.mkdir()
    for file in source.iterdir():
        if file.is_file() and file.name != "config.json":
            (folder / file.name).symlink_to(file)
    config = json.loads((source / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, **changes}))
    return folder


@contextmanager
def little_memory(megabytes: int = 1500) -> Iterator[None]:
    """Let allocations fail that are larger than what this process has already, and a little more."""
    import torch
    import transformers

    torch.zeros(1), transformers.AutoModel, transformers.AutoTokenizer
    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    size = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (size + megabytes * 1024 * 1024, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, (soft, hard))


def open_encoder(folder: Path) -> Any:
    return load_encoder(EncoderRef("x", str(folder), ""))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"vocab_size": 2_000_000_000}, "vocab_size 2,000,000,000"),
        ({"vocab_size": 2e9}, "vocab_size"),
        ({"vocab_size": 16_000_000}, "describes 6,"),
        ({"hidden_size": 120_000}, "parameters"),
        ({"num_hidden_layers": 1_000_000}, "num_hidden_layers 1,000,000"),
        ({"num_labels": 10_000_000}, "num_labels 10,000,000"),
        ({"text_config": {"intermediate_size": [1, 10**10]}}, "intermediate_size"),
        ({"attn_implementation": "kernels-community/flash-attn3"}, "asks for code of the hub"),
        ({"transformers_weights": "adapter_model.bin"}, "other than safetensors"),
        ({"transformers_weights": "other.safetensors"}, r"has no other\.safetensors"),
    ],
)
def test_an_encoder_with_absurd_sizes_is_refused_before_it_takes_memory(
    changes: dict[str, Any], message: str, minilm: Path, tmp_path: Path
):
    with little_memory(), pytest.raises(StageError, match=message):
        open_encoder(changed(minilm, tmp_path / "model", **changes))


def test_models_of_stages_are_checked_too(tmp_path: Path):
    yolos = build_yolos(tmp_path / "yolos")
    folder = changed(yolos, tmp_path / "wide", num_detection_tokens=10_000_000)
    with little_memory(), pytest.raises(StageError, match="describes"):
        HubDetector(str(folder), "", "cpu")


def test_a_timm_model_is_checked_too(tmp_path: Path):
    build_timm(tmp_path / "plain", ["n02088364"])
    for arguments in ({"embed_dim": 64_000}, {"depth": 5_000_000}):
        folder = changed(
            tmp_path / "plain", tmp_path / min(arguments), label_names=["n02088364"], model_args=arguments
        )
        with little_memory(), pytest.raises(StageError, match=r"config\.json of the model"):
            TimmClassifier(str(folder), "", "cpu")


def test_layers_are_counted_together_and_may_be_as_many_as_tensors():
    check_config("m", {"a": {"num_layers": MAX_LAYERS}})
    check_config("m", {"num_layers": MAX_LAYERS + 1}, MAX_LAYERS + 1)
    check_config("m", {"rope_theta": 10**9, "pad_token_id": -1, "layers": float("inf"), "n_layers": True})
    with pytest.raises(StageError, match="depths 1,001"):
        check_config("m", {"depths": [1] * (MAX_LAYERS + 1)})


def test_a_configuration_that_is_too_long_or_nested_is_not_read(minilm: Path, tmp_path: Path):
    folder = changed(minilm, tmp_path / "long", padding="x" * 10_000_000)
    with pytest.raises(StageError, match="longer than 10,000,000 bytes"):
        open_encoder(folder)
    (folder / "config.json").write_text("[" * 100_000)
    with pytest.raises(StageError, match="could not be loaded"):
        open_encoder(folder)


@pytest.mark.parametrize("content", ["{}", '{"weight_map": [1]}', '{"weight_map": {"a": 1}}', "{"])
def test_a_damaged_list_of_files_is_an_error(content: str, tmp_path: Path):
    index = tmp_path / "model.safetensors.index.json"
    index.write_text(content)
    with pytest.raises(StageError, match="damaged"):
        list_shards("m", index)


def test_a_checkpoint_of_several_files_is_measured_as_a_whole(tmp_path: Path):
    from transformers import AutoModel

    yolos = build_yolos(tmp_path / "yolos")
    network = AutoModel.from_pretrained(yolos)
    network.save_pretrained(tmp_path / "parts", max_shard_size="50KB")
    shutil.copy(yolos / "config.json", tmp_path / "parts")
    assert len(list((tmp_path / "parts").glob("*.safetensors"))) > 1
    from stages.models.loading import load_weights

    folder = str(tmp_path / "parts")
    assert load_weights(AutoModel, folder, identify(folder), "cpu") is not None


def test_hub_kernels_are_not_loaded_even_if_the_package_is_there(minilm: Path, monkeypatch: pytest.MonkeyPatch):
    from transformers.integrations import hub_kernels
    from transformers.utils import import_utils

    for module in (hub_kernels, import_utils):
        monkeypatch.setattr(module, "is_kernels_available", lambda *_, **__: True)
    fetched: list[object] = []
    monkeypatch.setattr(hub_kernels, "get_kernel_hub", lambda *names, **_: fetched.append(names), raising=False)
    monkeypatch.setattr(hub_kernels, "_kernels_enabled", True)
    hub_kernels.get_kernel("kernels-community/trap")
    assert len(fetched) == 1  # the trap works
    open_encoder(minilm)
    for load in (
        lambda: hub_kernels.get_kernel("kernels-community/trap"),
        lambda: hub_kernels.load_and_register_attn_kernel("kernels-community/trap"),
    ):
        with pytest.raises(ImportError):
            load()
    hub_kernels.lazy_load_kernel("causal-conv1d", {})
    assert not import_utils.is_kernels_available()
    assert len(fetched) == 1
    forbid_hub_kernels()


def test_a_tokenizer_of_a_model_with_an_absurd_configuration_is_not_loaded_either(minilm: Path, tmp_path: Path):
    from transformers import AutoTokenizer

    folder = changed(minilm, tmp_path / "model", num_labels=10**9)
    with pytest.raises(StageError, match="num_labels"):
        load_pretrained(AutoTokenizer, str(folder), "")
