"""Captioners of many kinds: what each says by its own documentation is what the stage says."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL.Image import Image
from transformers import AutoModelForImageTextToText, AutoProcessor

from stages.base import Failure, StageError
from stages.caption.image_text import shrink_image
from stages.caption.schema import CHAT_PROMPT, CaptionConfig, CaptionValue
from stages.caption.stage import CaptionStage
from tests.support import tiny_captioners
from tests.support.stages_fixtures import bad_item, item_of, noise
from tests.support.tiny_models import build_clip

PICTURES = [noise(120, 70, 1), noise(40, 90, 2), noise(64, 64, 3), noise(300, 30, 4)]
SEARCH: dict[str, Any] = {
    "num_beams": 3,
    "num_return_sequences": 3,
    "max_new_tokens": 12,
    "do_sample": False,
    "output_scores": True,
    "return_dict_in_generate": True,
}


def alone(processor: Any, picture: Image) -> Any:
    return processor(images=picture, return_tensors="pt")


def by_task(processor: Any, picture: Image) -> Any:
    return processor(text="<CAPTION>", images=picture, return_tensors="pt")


def in_chat(processor: Any, picture: Image) -> Any:
    asked = [{"role": "user", "content": [{"type": "image"}, {"type": "text", "text": CHAT_PROMPT}]}]
    text = processor.apply_chat_template(asked, add_generation_prompt=True)
    return processor(text=text, images=[picture], return_tensors="pt")


KINDS: dict[str, tuple[Callable[[Path], Path], Callable[[Any, Image], Any]]] = {
    "git": (tiny_captioners.build_git, alone),
    "blip-2": (tiny_captioners.build_blip2, alone),
    "florence2": (tiny_captioners.build_florence2, by_task),
    "idefics3": (tiny_captioners.build_idefics3, in_chat),
    "qwen2_vl": (tiny_captioners.build_qwen2_vl, in_chat),
}


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    return {kind: build(tmp_path_factory.mktemp(kind)) for kind, (build, _) in KINDS.items()}


def stage_of(folder: Path, **settings: object) -> CaptionStage:
    chosen = {"beams": 3, "captions": 3, "max_new_tokens": 12, "device": "cpu", **settings}
    return CaptionStage(CaptionConfig(model=str(folder), **chosen))


def said(stage: CaptionStage, *pictures: Image) -> list[CaptionValue]:
    values = stage.run([item_of(picture) for picture in pictures])
    found = [value for value in values if isinstance(value, CaptionValue)]
    assert len(found) == len(pictures)
    return found


def generated(folder: Path, kind: str, picture: Image) -> tuple[list[str], list[float]]:
    """What the model's own documentation has people write, a picture at a time."""
    processor = AutoProcessor.from_pretrained(folder)
    model = AutoModelForImageTextToText.from_pretrained(folder).eval()
    inputs = KINDS[kind][1](processor, picture)
    with torch.no_grad():
        found = model.generate(**inputs, **SEARCH)
    asked = inputs["input_ids"].shape[1] if kind in ("idefics3", "qwen2_vl") else 0
    texts = processor.batch_decode(found.sequences[:, asked:], skip_special_tokens=True)
    return [text.strip() for text in texts], found.sequences_scores.exp().tolist()


@pytest.mark.parametrize("kind", KINDS)
def test_a_batch_equals_generate_for_each_picture(kind: str, folders: dict[str, Path]):
    values = said(stage_of(folders[kind]), *PICTURES)
    for picture, value in zip(PICTURES, values, strict=True):
        texts, scores = generated(folders[kind], kind, picture)
        assert value.source == kind
        assert [caption.text for caption in value.captions] == texts
        assert [caption.score for caption in value.captions] == pytest.approx(scores, rel=1e-3)
    assert len({value.captions for value in values}) > 1, "a model that says the same of all shows nothing"


@pytest.mark.parametrize("kind", ["idefics3", "git"])
def test_the_prompt_is_not_repeated_in_the_caption(kind: str, folders: dict[str, Path]):
    plain, asked = stage_of(folders[kind]), stage_of(folders[kind], prompt="a photo of")
    first, other = said(plain, PICTURES[0])[0], said(asked, PICTURES[0])[0]
    assert first != other
    assert not any(caption.text.startswith(("a photo of", "user")) for caption in other.captions)
    assert plain.parameters() | {"prompt": "a photo of"} == asked.parameters()


def test_git_continues_the_prompt(folders: dict[str, Path]):
    processor = AutoProcessor.from_pretrained(folders["git"])
    model = AutoModelForImageTextToText.from_pretrained(folders["git"]).eval()
    words = processor.tokenizer("a photo of", add_special_tokens=False)["input_ids"]
    asked = torch.tensor([[processor.tokenizer.cls_token_id, *words]])
    pixels = processor(images=PICTURES[0], return_tensors="pt")["pixel_values"]
    with torch.no_grad():
        found = model.generate(pixel_values=pixels, input_ids=asked, **SEARCH)
    texts = processor.batch_decode(found.sequences[:, len(words) + 1 :], skip_special_tokens=True)
    (value,) = said(stage_of(folders["git"], prompt="a photo of"), PICTURES[0])
    assert [caption.text for caption in value.captions] == texts


def test_half_precision_gives_another_key(folders: dict[str, Path]):
    full, half = stage_of(folders["git"]), stage_of(folders["git"], dtype="bfloat16")
    assert (full.identity().numerics, half.identity().numerics) == ({"dtype": "float32"}, {"dtype": "bfloat16"})
    assert said(full, PICTURES[0]) != said(half, PICTURES[0])


@pytest.mark.parametrize(
    ("kind", "settings"),
    [("florence2", {"chat": "yes"}), ("idefics3", {"chat": "no", "prompt": "no place for the picture"})],
)
def test_a_prompt_that_the_processor_rejects_is_an_error_at_loading(
    kind: str, settings: dict[str, str], folders: dict[str, Path]
):
    with pytest.raises(StageError, match="cannot be asked") as raised:
        stage_of(folders[kind], **settings).open()
    assert "caption.prompt" in raised.value.hint


def test_a_model_that_writes_no_captions_is_an_error(tmp_path: Path):
    with pytest.raises(StageError, match="is a clip model, which does not write captions") as raised:
        stage_of(build_clip(tmp_path)).open()
    assert "AutoModelForImageTextToText" in raised.value.hint


def test_missing_weights_are_an_error_and_not_initialized_at_random(folders: dict[str, Path], tmp_path: Path):
    from safetensors.torch import load_file, save_file

    folder = shutil.copytree(folders["git"], tmp_path / "git")
    weights = load_file(folder / "model.safetensors")
    lost = next(name for name in weights if "visual_projection" in name)
    del weights[lost]
    save_file(weights, folder / "model.safetensors", {"format": "pt"})
    with pytest.raises(StageError, match="lacks 1 weights"):
        stage_of(folder).open()


def test_a_bad_picture_does_not_affect_others(folders: dict[str, Path]):
    stage = stage_of(folders["git"])
    first, bad, last = stage.run([item_of(PICTURES[0]), bad_item(), item_of(PICTURES[1])])
    assert isinstance(bad, Failure)
    assert [first, last] == said(stage, PICTURES[0], PICTURES[1])
    assert [type(value) for value in stage.run([bad_item()])] == [Failure]


def test_large_pictures_are_reduced():
    assert shrink_image(noise(300, 30), 100).size == (100, 10)
    assert shrink_image(noise(30, 3000), 100).size == (1, 100)
    assert shrink_image(noise(30, 20), 100).size == (30, 20)
