"""Captions: the template word for word, and BLIP's beams from a folder with random weights."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from stages.base import EXECUTION, SEMANTIC, Failure
from stages.caption.schema import CaptionConfig, CaptionValue
from stages.caption.stage import CaptionStage
from stages.objects.schema import Object, ObjectsValue
from tests.support.stages_fixtures import bad_item, item_of, noise, thing
from tests.support.tiny_models import build_blip


def fill_in(*things: Object) -> CaptionValue:
    objects = ObjectsValue(width=10, height=10, objects=things)
    (value,) = CaptionStage(CaptionConfig()).run([item_of(noise(), {"objects": objects})])
    assert isinstance(value, CaptionValue)
    return value


def test_the_source_of_a_template_is_template():
    value = fill_in(thing("dog", 0.9), thing("cat", 0.39))
    assert value.model_dump(mode="json") == {
        "source": "template",
        "captions": [{"text": "a picture of a dog", "score": None}],
    }


def test_no_objects_give_no_caption():
    assert fill_in().captions == ()
    assert fill_in(thing("dog", 0.39)).captions == ()


def test_a_template_reads_objects_and_needs_no_model():
    stage = CaptionStage(CaptionConfig())
    assert stage.reads == ("objects",)
    assert not stage.identity().models


@pytest.fixture(scope="module")
def blip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_blip(tmp_path_factory.mktemp("blip"))


@pytest.fixture(scope="module")
def stage(blip: Path) -> CaptionStage:
    return CaptionStage(CaptionConfig(model=str(blip)))


PICTURES = [noise(120, 70, 1), noise(40, 90, 2), noise(1, 1, 3)]


def test_five_captions_are_ordered_by_score(stage: CaptionStage):
    assert stage.reads == ()
    for value in stage.run([item_of(picture) for picture in PICTURES]):
        assert isinstance(value, CaptionValue)
        assert value.source == "blip"
        scores = [caption.score or 0.0 for caption in value.captions]
        assert len(scores) == 5
        assert scores == sorted(scores, reverse=True)
        assert 0 < min(scores) <= max(scores) <= 1
        assert len({caption.text for caption in value.captions}) > 1


def test_a_batch_equals_generate_for_each_picture(stage: CaptionStage, blip: Path):
    import torch
    from transformers import BlipForConditionalGeneration, BlipProcessor

    processor = BlipProcessor.from_pretrained(blip)
    model = BlipForConditionalGeneration.from_pretrained(blip).eval()
    values = stage.run([item_of(picture) for picture in PICTURES])
    lengths = set()
    for picture, value in zip(PICTURES, values, strict=True):
        assert isinstance(value, CaptionValue)
        with torch.no_grad():
            found = model.generate(
                **processor(images=picture, return_tensors="pt"),
                num_beams=5,
                num_return_sequences=5,
                max_new_tokens=30,
                output_scores=True,
                return_dict_in_generate=True,
            )
        texts = processor.batch_decode(found.sequences, skip_special_tokens=True)
        assert [caption.text for caption in value.captions] == [text.strip() for text in texts]
        assert [caption.score for caption in value.captions] == pytest.approx(
            found.sequences_scores.exp().tolist(), abs=1e-4
        )
        lengths.add(len(value.captions[0].text.split()))
    assert len(lengths) > 1, "captions of one length would not show a fault in padding"


def test_a_bad_picture_does_not_affect_others(stage: CaptionStage):
    first, last = item_of(PICTURES[0]), item_of(PICTURES[1])
    values = stage.run([first, bad_item(), last])
    assert isinstance(values[1], Failure)
    assert values[1].reason == "not a picture"
    assert [values[0], values[2]] == [*stage.run([first]), *stage.run([last])]


def test_bad_pictures_alone_are_failures(blip: Path):
    stage = CaptionStage(CaptionConfig(model=str(blip)))
    assert [type(value) for value in stage.run([bad_item(), bad_item()])] == [Failure, Failure]


def test_greedy_search_gives_one_caption_without_a_score(blip: Path):
    stage = CaptionStage(CaptionConfig(model=str(blip), beams=1, captions=1))
    for value in stage.run([item_of(picture) for picture in PICTURES]):
        assert isinstance(value, CaptionValue)
        assert [caption.score for caption in value.captions] == [None]


def test_the_identity_depends_on_the_content_and_not_on_the_path(blip: Path, tmp_path: Path):
    def identity(folder: Path) -> str:
        return CaptionStage(CaptionConfig(model=str(folder))).identity().models["captioner"]

    moved = shutil.copytree(blip, tmp_path / "moved")
    assert identity(moved) == identity(blip)
    (moved / "README.md").write_text("says nothing to the model")
    assert identity(moved) == identity(blip)
    weights = moved / "model.safetensors"
    content = bytearray(weights.read_bytes())
    content[-1] ^= 1
    weights.write_bytes(content)
    assert identity(moved) != identity(blip)


def test_settings_of_a_captioner_do_not_make_a_template_stale(blip: Path):
    def parameters(**settings: object) -> dict[str, object]:
        return CaptionStage(CaptionConfig(**settings)).parameters()

    assert parameters(beams=3, captions=2, revision="other") == parameters()
    assert parameters(template_floor=0.9) != parameters()
    assert parameters(model=str(blip), beams=3) != parameters(model=str(blip))
    assert parameters(model=str(blip)) == parameters(model=str(blip.resolve()), template_floor=0.9)


def test_fewer_beams_give_fewer_captions(blip: Path):
    (value,) = CaptionStage(CaptionConfig(model=str(blip), beams=2)).run([item_of(PICTURES[0])])
    assert isinstance(value, CaptionValue)
    assert len(value.captions) == 2


def test_beams_are_semantic_and_the_batch_size_is_an_execution_setting():
    default = CaptionConfig()
    assert CaptionConfig(beams=3).of_role(SEMANTIC) != default.of_role(SEMANTIC)
    assert CaptionConfig(beams=3).of_role(EXECUTION) == default.of_role(EXECUTION)
    assert CaptionConfig(batch=3).of_role(SEMANTIC) == default.of_role(SEMANTIC)
    assert CaptionConfig(batch=3).of_role(EXECUTION) != default.of_role(EXECUTION)
