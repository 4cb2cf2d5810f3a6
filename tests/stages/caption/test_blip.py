"""BLIP: what its beams share changes nothing that they say."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from transformers import BlipForConditionalGeneration, BlipProcessor

from stages.caption.blip import BlipCaptioner
from stages.caption.schema import Caption, CaptionConfig
from stages.models.identity import identify
from tests.support.stages_fixtures import noise
from tests.support.tiny_models import build_blip

PICTURES = [noise(120, 70, seed) for seed in range(5)]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_blip(tmp_path_factory.mktemp("blip"))


def captions(folder: Path, dtype: str = "float32", **settings: object) -> list[tuple[Caption, ...]]:
    config = CaptionConfig(model=str(folder), device="cpu", **settings)
    blip = BlipCaptioner(config, identify(str(folder)), dtype)
    return blip.describe(blip.prepare(picture) for picture in PICTURES)


def generated(folder: Path, beams: int, **asked: object) -> list[list[str]]:
    """What transformers itself says, a picture at a time."""
    processor = BlipProcessor.from_pretrained(folder)
    model = BlipForConditionalGeneration.from_pretrained(folder).eval()
    answers: list[list[str]] = []
    for picture in PICTURES:
        inputs = processor(images=picture, return_tensors="pt", **asked)
        with torch.no_grad():
            found = model.generate(**inputs, num_beams=beams, num_return_sequences=beams, max_new_tokens=30)
        answers.append([text.strip() for text in processor.batch_decode(found, skip_special_tokens=True)])
    return answers


@pytest.mark.parametrize("beams", [1, 2, 5, 8])
def test_captions_equal_those_of_transformers_for_any_number_of_beams(folder: Path, beams: int):
    found = captions(folder, beams=beams, captions=beams)
    assert [[beam.text for beam in picture] for picture in found] == generated(folder, beams)


def test_a_caption_continues_the_prompt_without_repeating_it(folder: Path):
    found = captions(folder, prompt="a photo of")
    said = generated(folder, 5, text="a photo of")
    assert {text[:10] for picture in said for text in picture} == {"a photo of"}
    assert [[f"a photo of {beam.text}".strip() for beam in picture] for picture in found] == said
    assert found != captions(folder)


def test_no_tensors_of_a_batch_are_kept(folder: Path):
    blip = BlipCaptioner(CaptionConfig(model=str(folder), device="cpu"), identify(str(folder)), "float32")
    first = blip.describe(map(blip.prepare, PICTURES[:3]))
    blip.describe(map(blip.prepare, PICTURES[3:]))
    assert blip.describe(map(blip.prepare, PICTURES[:3])) == first
    assert all(attention.keys is None for attention in blip.shared_attentions)


def test_no_pictures_give_no_captions(folder: Path):
    blip = BlipCaptioner(CaptionConfig(model=str(folder), device="cpu"), identify(str(folder)), "float32")
    assert blip.describe([]) == []


def test_half_precision_is_close_to_full_precision(folder: Path):
    full, half = captions(folder), captions(folder, dtype="bfloat16")
    scores = [[beam.score for beam in picture] for picture in half]
    assert full != half, "half precision would not be at work"
    for picture, other in zip(full, scores, strict=True):
        assert other == pytest.approx([beam.score for beam in picture], rel=0.2)
