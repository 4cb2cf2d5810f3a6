"""Small detectors with random weights, besides those of `tiny_models`: with classes, and asked with words."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tests.support.tiny_models import LABELS, SMALL, WORDS, seed

TINY_RESNET: dict[str, Any] = {
    "embedding_size": 8,
    "hidden_sizes": [8, 12, 16, 20],
    "depths": [1, 1, 1, 1],
    "layer_type": "basic",
}
# What RT-DETRv2 and D-FINE are both made of, around a backbone whose last three stages have these channels.
OF_RT_DETR: dict[str, Any] = {
    "encoder_in_channels": [12, 16, 20],
    "encoder_hidden_dim": 32,
    "encoder_ffn_dim": 32,
    "encoder_attention_heads": 2,
    "hidden_expansion": 0.5,
    "d_model": 32,
    "num_queries": 20,
    "decoder_in_channels": [32, 32, 32],
    "decoder_ffn_dim": 32,
    "decoder_layers": 2,
    "decoder_attention_heads": 2,
    "num_denoising": 0,
    "id2label": LABELS,
}
TEXT: dict[str, Any] = dict(SMALL)
# Ids that Grounding DINO's code expects of BERT's tokenizer; the last two end a phrase.
BERT_IDS = {"[PAD]": 0, "[UNK]": 100, "[CLS]": 101, "[SEP]": 102, "[MASK]": 103, ".": 1012, "?": 1029}


def spread(model: Any, by: float = 3.0) -> None:
    """Weights large enough for boxes and scores that differ from each other."""
    for name, weight in model.named_parameters():
        if "query_position" in name or "query_embed" in name:
            weight.data.normal_()
        elif weight.dim() > 1 and "backbone" not in name:
            weight.data.mul_(by)


def build_detr(folder: Path) -> Path:
    """The detector of which most others are descendants; its backbone is a ResNet."""
    from transformers import DetrConfig, DetrForObjectDetection, DetrImageProcessor, ResNetConfig

    seed()
    config = DetrConfig(
        backbone_config=ResNetConfig(**TINY_RESNET, out_features=["stage4"]),
        use_timm_backbone=False,
        d_model=32,
        num_queries=12,
        encoder_layers=1,
        encoder_ffn_dim=32,
        encoder_attention_heads=2,
        decoder_layers=2,
        decoder_ffn_dim=32,
        decoder_attention_heads=2,
        id2label=LABELS,
    )
    model = DetrForObjectDetection(config).eval()
    spread(model, 8.0)
    model.save_pretrained(folder)
    DetrImageProcessor(size={"shortest_edge": 64, "longest_edge": 640}).save_pretrained(folder)
    return folder


def build_rt_detr_v2(folder: Path) -> Path:
    """It comes with the processor of the first RT-DETR."""
    from transformers import RTDetrImageProcessor, RTDetrResNetConfig, RTDetrV2Config, RTDetrV2ForObjectDetection

    seed()
    backbone = RTDetrResNetConfig(**TINY_RESNET, out_features=["stage2", "stage3", "stage4"], out_indices=[2, 3, 4])
    config = RTDetrV2Config(backbone_config=backbone, **OF_RT_DETR)
    RTDetrV2ForObjectDetection(config).eval().save_pretrained(folder)
    RTDetrImageProcessor(size={"height": 64, "width": 64}).save_pretrained(folder)
    return folder


def build_d_fine(folder: Path) -> Path:
    """What `paper` takes, with the processor of RT-DETR and a backbone of its own."""
    from transformers import DFineConfig, DFineForObjectDetection, HGNetV2Config, RTDetrImageProcessor

    seed()
    backbone = HGNetV2Config(
        stem_channels=[3, 8, 8],
        stage_in_channels=[8, 8, 12, 16],
        stage_mid_channels=[4, 4, 8, 8],
        stage_out_channels=[8, 12, 16, 20],
        hidden_sizes=[8, 12, 16, 20],
        stage_num_blocks=[1, 1, 1, 1],
        stage_numb_of_layers=[1, 1, 1, 1],
        out_features=["stage2", "stage3", "stage4"],
    )
    config = DFineConfig(backbone_config=backbone, **OF_RT_DETR)
    model = DFineForObjectDetection(config).eval()
    spread(model)
    model.save_pretrained(folder)
    RTDetrImageProcessor(size={"height": 64, "width": 64}).save_pretrained(folder)
    return folder


def build_owl(folder: Path, second: bool = True) -> Path:
    """OWLv2, or the first OWL-ViT, with CLIP's tokenizer over single characters: a text may have 48."""
    import transformers as t

    seed()
    letters = [chr(code) for code in range(33, 127)]
    pieces = [*letters, *(f"{letter}</w>" for letter in letters), "<|startoftext|>", "<|endoftext|>"]
    vocabulary = {piece: index for index, piece in enumerate(pieces)}
    tokenizer = t.CLIPTokenizer(vocab=vocabulary, merges=[], model_max_length=48, pad_token="!")
    config_type, model_type = (
        (t.Owlv2Config, t.Owlv2ForObjectDetection) if second else (t.OwlViTConfig, t.OwlViTForObjectDetection)
    )
    config = config_type(
        text_config={
            **SMALL,
            "vocab_size": len(vocabulary),
            "max_position_embeddings": 48,
            "bos_token_id": vocabulary["<|startoftext|>"],
            "eos_token_id": vocabulary["<|endoftext|>"],
        },
        # OWLv2 blurs what it shrinks, which takes the longer the smaller it gets.
        vision_config={**SMALL, "image_size": 256, "patch_size": 64},
        projection_dim=32,
        initializer_factor=4.0,
    )
    model = model_type(config).eval()
    # Its scores would be all 0 or all 1, and its boxes far from their patches.
    for weight in model.box_head.parameters():
        weight.data.mul_(0.05)
    model.class_head.logit_shift.weight.data.mul_(0.01)
    model.class_head.logit_scale.weight.data.mul_(0.01)
    model.class_head.logit_scale.bias.data.fill_(2.0)
    model.save_pretrained(folder)
    size = {"height": 256, "width": 256}
    if second:
        processor = t.Owlv2Processor(image_processor=t.Owlv2ImageProcessor(size=size), tokenizer=tokenizer)
    else:
        images = t.OwlViTImageProcessor(size=size, do_center_crop=False)
        processor = t.OwlViTProcessor(image_processor=images, tokenizer=tokenizer)
    processor.save_pretrained(folder)
    return folder


def build_owlvit(folder: Path) -> Path:
    return build_owl(folder, second=False)


def bert_tokenizer() -> Any:
    """Over `WORDS`, with the ids of BERT's own for what Grounding DINO looks for."""
    from transformers import BertTokenizerFast

    vocabulary = dict(BERT_IDS)
    free = (number for number in range(1, 1040) if number not in BERT_IDS.values())
    for word in (*WORDS, "##s"):
        vocabulary[word] = next(free)
    for number in free:
        vocabulary[f"[unused{number}]"] = number
    return BertTokenizerFast(vocab=vocabulary, model_max_length=64)


def build_grounding_dino(folder: Path, of_openmm: bool = False) -> Path:
    """Grounding DINO or MM Grounding DINO; a text of at most 16 tokens, so that few words fill it."""
    import transformers as t

    seed()
    tokenizer = bert_tokenizer()
    config_type, model_type = (
        (t.MMGroundingDinoConfig, t.MMGroundingDinoForObjectDetection)
        if of_openmm
        else (t.GroundingDinoConfig, t.GroundingDinoForObjectDetection)
    )
    config = config_type(
        backbone_config=t.ResNetConfig(**TINY_RESNET, out_features=["stage2", "stage3", "stage4"]),
        text_config=t.BertConfig(**TEXT, vocab_size=len(tokenizer), max_position_embeddings=64),
        max_text_len=16,
        num_queries=20,
        d_model=64,
        encoder_layers=1,
        encoder_ffn_dim=32,
        encoder_attention_heads=4,
        decoder_layers=2,
        decoder_ffn_dim=32,
        decoder_attention_heads=4,
        num_feature_levels=4,
    )
    model = model_type(config).eval()
    spread(model)
    # The scores would be all 1, and those of MM Grounding DINO, which has a bias, all 0.
    model.model.decoder.layer_norm.weight.data.mul_(0.4 if of_openmm else 0.05)
    for name, weight in model.named_parameters():
        if name.startswith("class_embed") and name.endswith("bias"):
            weight.data.zero_()
    model.save_pretrained(folder)
    images = t.GroundingDinoImageProcessor(size={"shortest_edge": 64, "longest_edge": 640})
    t.GroundingDinoProcessor(image_processor=images, tokenizer=tokenizer).save_pretrained(folder)
    return folder


def build_mm_grounding_dino(folder: Path) -> Path:
    return build_grounding_dino(folder, of_openmm=True)
