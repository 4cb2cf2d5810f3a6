"""Small checkpoints with random weights, built where they are needed: nothing is downloaded."""

from __future__ import annotations

from pathlib import Path
from typing import Any

WORDS = (
    *("a", "an", "the", "of", "photo", "picture", "something", "is", "in", "on", "with", "red", "blue"),
    *("green", "wooden", "old", "young", "smiling", "standing", "two", "dog", "cat", "person", "bus", "tree"),
    *("house", "street", "man", "woman", "white", "black", "looking", "at", "camera"),
)
LABELS = {0: "person", 1: "dog", 2: "bus", 3: "tree", 4: "stop sign"}
END_BIAS = 3.5
SMALL = {
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
}


def seed() -> None:
    """Random weights that are the same in every run."""
    import torch

    torch.manual_seed(20)


def build_blip(folder: Path) -> Path:
    """A captioner over `WORDS`; as in BLIP's own, the tokenizer does not know the first token."""
    from transformers import (
        BertTokenizerFast,
        BlipConfig,
        BlipForConditionalGeneration,
        BlipImageProcessor,
        BlipProcessor,
    )

    seed()
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    vocabulary = {word: index for index, word in enumerate([*special, *WORDS])}
    tokenizer = BertTokenizerFast(vocab=vocabulary)
    text: dict[str, Any] = {
        **SMALL,
        "vocab_size": len(vocabulary) + 2,
        "encoder_hidden_size": 32,
        "projection_dim": 16,
        "max_position_embeddings": 64,
        "bos_token_id": len(vocabulary),
        "eos_token_id": vocabulary["[SEP]"],
        "sep_token_id": vocabulary["[SEP]"],
        "pad_token_id": vocabulary["[PAD]"],
        "initializer_range": 0.5,
    }
    vision = {**SMALL, "image_size": 32, "patch_size": 8, "projection_dim": 16, "initializer_range": 0.5}
    config = BlipConfig(text_config=text, vision_config=vision, projection_dim=16)
    model = BlipForConditionalGeneration(config).eval()
    # Ends now and then, so that the captions of a batch differ in length; never says its first token again.
    bias = model.text_decoder.cls.predictions.bias.data
    bias[vocabulary["[SEP]"]] += END_BIAS
    bias[len(vocabulary) :] -= 1000
    model.save_pretrained(folder)
    processor = BlipImageProcessor(size={"height": 32, "width": 32})
    BlipProcessor(image_processor=processor, tokenizer=tokenizer).save_pretrained(folder)
    return folder


def build_yolos(folder: Path) -> Path:
    """A detector without a backbone network."""
    from transformers import YolosConfig, YolosForObjectDetection, YolosImageProcessor

    seed()
    config = YolosConfig(
        **SMALL,
        image_size=[64, 96],
        patch_size=16,
        num_detection_tokens=12,
        id2label=LABELS,
        initializer_range=0.1,
    )
    model = YolosForObjectDetection(config).eval()
    model.vit.embeddings.detection_tokens.data.normal_()  # all zero at first, and so would be all boxes
    model.save_pretrained(folder)
    YolosImageProcessor(size={"shortest_edge": 64, "longest_edge": 640}).save_pretrained(folder)
    return folder


def build_rt_detr(folder: Path) -> Path:
    """A detector with a convolutional backbone and focal scores."""
    from transformers import RTDetrConfig, RTDetrForObjectDetection, RTDetrImageProcessor, RTDetrResNetConfig

    seed()
    backbone = RTDetrResNetConfig(
        embedding_size=8,
        hidden_sizes=[8, 12, 16, 20],
        depths=[1, 1, 1, 1],
        layer_type="basic",
        out_features=["stage2", "stage3", "stage4"],
        out_indices=[2, 3, 4],
    )
    config = RTDetrConfig(
        backbone_config=backbone,
        encoder_in_channels=[12, 16, 20],
        encoder_hidden_dim=32,
        encoder_ffn_dim=32,
        encoder_attention_heads=2,
        hidden_expansion=0.5,
        d_model=32,
        num_queries=20,
        decoder_in_channels=[32, 32, 32],
        decoder_ffn_dim=32,
        decoder_layers=2,
        decoder_attention_heads=2,
        num_denoising=0,
        id2label=LABELS,
        anchor_image_size=None,
    )
    RTDetrForObjectDetection(config).eval().save_pretrained(folder)
    RTDetrImageProcessor(size={"height": 64, "width": 64}).save_pretrained(folder)
    return folder


def build_clip(folder: Path) -> Path:
    """A zero-shot model with CLIP's own tokenizer over single characters."""
    from transformers import CLIPConfig, CLIPImageProcessor, CLIPModel, CLIPProcessor, CLIPTokenizer

    seed()
    letters = [chr(code) for code in range(33, 127)]
    pieces = [*letters, *(f"{letter}</w>" for letter in letters), "<|startoftext|>", "<|endoftext|>"]
    vocabulary = {piece: index for index, piece in enumerate(pieces)}
    tokenizer = CLIPTokenizer(vocab=vocabulary, merges=[], model_max_length=77)
    text = {
        **SMALL,
        "vocab_size": len(vocabulary),
        "max_position_embeddings": 77,
        "bos_token_id": vocabulary["<|startoftext|>"],
        "eos_token_id": vocabulary["<|endoftext|>"],
    }
    config = CLIPConfig(
        text_config=text,
        vision_config={**SMALL, "image_size": 32, "patch_size": 8},
        projection_dim=16,
        initializer_factor=4.0,
    )
    CLIPModel(config).eval().save_pretrained(folder)
    processor = CLIPImageProcessor(size={"shortest_edge": 32}, crop_size={"height": 32, "width": 32})
    CLIPProcessor(image_processor=processor, tokenizer=tokenizer).save_pretrained(folder)
    return folder


def build_siglip(folder: Path) -> Path:
    """A zero-shot model with a scale and a bias; its tokenizer needs no sentencepiece."""
    from tokenizers import Tokenizer
    from tokenizers.models import WordLevel
    from tokenizers.pre_tokenizers import Whitespace
    from tokenizers.processors import TemplateProcessing
    from transformers import (
        PreTrainedTokenizerFast,
        SiglipConfig,
        SiglipImageProcessor,
        SiglipModel,
        SiglipProcessor,
    )

    seed()
    vocabulary = {word: index for index, word in enumerate(["<unk>", "</s>", *WORDS])}
    backend = Tokenizer(WordLevel(vocabulary, unk_token="<unk>"))
    backend.pre_tokenizer = Whitespace()
    backend.post_processor = TemplateProcessing(single="$A </s>", special_tokens=[("</s>", vocabulary["</s>"])])
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=backend, unk_token="<unk>", eos_token="</s>", pad_token="</s>", model_max_length=16
    )
    config = SiglipConfig(
        text_config={
            **SMALL,
            "vocab_size": len(vocabulary),
            "max_position_embeddings": 16,
            "pad_token_id": vocabulary["</s>"],
            "eos_token_id": vocabulary["</s>"],
            "bos_token_id": vocabulary["</s>"],
        },
        vision_config={**SMALL, "image_size": 32, "patch_size": 8},
    )
    model = SiglipModel(config).eval()
    model.logit_scale.data.fill_(3.0)
    model.logit_bias.data.fill_(-10.0)
    model.save_pretrained(folder)
    processor = SiglipImageProcessor(size={"height": 32, "width": 32})
    SiglipProcessor(image_processor=processor, tokenizer=tokenizer).save_pretrained(folder)
    return folder
