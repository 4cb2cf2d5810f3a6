"""Models on this machine that are asked in chats: small ones of each kind with random weights, from a folder."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

from stages.base import Example, Failure, FailureKind, Item
from stages.knowledge.schema import KnowledgeConfig, KnowledgeValue
from stages.knowledge.stage import KnowledgeStage
from tests.support import tiny_captioners


def build_chat(folder: Path, template: str | None = None) -> Path:
    """A tiny causal language model over words, with random weights."""
    import torch
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

    torch.manual_seed(5)
    words = [
        "<pad>",
        "<s>",
        "</s>",
        "<unk>",
        *["tweet", "names", "paris", "is", "a", "city", "in", "france", "kim", "who"],
    ]
    inner = Tokenizer(models.WordLevel({word: n for n, word in enumerate(words)}, unk_token="<unk>"))
    inner.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=inner, pad_token="<pad>", bos_token="<s>", eos_token="</s>", unk_token="<unk>"
    )
    tokenizer.chat_template = template
    config = LlamaConfig(
        vocab_size=len(words),
        hidden_size=32,
        intermediate_size=32,
        num_hidden_layers=1,
        num_attention_heads=2,
        max_position_embeddings=512,
        pad_token_id=0,
        bos_token_id=1,
        eos_token_id=2,
    )
    model = LlamaForCausalLM(config)
    assert model.generation_config is not None
    model.generation_config.suppress_tokens = [0, 1, 2, 3]  # it says words only
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


@pytest.mark.parametrize("template", [None, "{% for m in messages %}{{ m['content'] }} {% endfor %}"])
def test_a_local_model_is_deterministic_and_its_weights_are_the_key(template: str | None, tmp_path: Path) -> None:
    folder = build_chat(tmp_path / "chat", template)
    config = KnowledgeConfig(model=str(folder), max_new_tokens=5, device="cpu", prompt="short")
    items = [Item("1", "post 1", None, text="paris"), Item("2", "post 2", None, text="kim in france")]
    first, second = KnowledgeStage(config).run(items), KnowledgeStage(config).run(items[1:])
    assert isinstance(first[0], KnowledgeValue)
    assert (first[0].source, first[0].finish, first[0].completion_tokens) == ("local", "length", 5)
    assert first[0].model == "chat"  # where its folder lies is nobody's business
    assert first[1] == second[0]
    key = KnowledgeStage(config).identity().models["model"]
    assert key.startswith("sha256:")
    (folder / "config.json").write_text((folder / "config.json").read_text() + "\n")
    assert KnowledgeStage(config).identity().models["model"] != key


def test_a_picture_for_a_text_model_is_a_failure(tmp_path: Path) -> None:
    config = KnowledgeConfig(model=str(build_chat(tmp_path / "chat")), picture=True, device="cpu")
    looked = Item("1", "post 1", lambda: Image.new("RGB", (9, 9)), text="paris", examples=(Example("a", "b"),))
    (found,) = KnowledgeStage(config).run([looked])
    assert isinstance(found, Failure)
    assert "reads no pictures" in found.reason


def saying_words_only(folder: Path) -> Path:
    from transformers import AutoTokenizer, GenerationConfig

    generation = GenerationConfig.from_pretrained(folder)
    tokens = AutoTokenizer.from_pretrained(folder).get_vocab()
    generation.suppress_tokens = [number for token, number in tokens.items() if token.startswith("<")]
    generation.save_pretrained(folder)
    return folder


@pytest.mark.parametrize("build", [tiny_captioners.build_idefics3, tiny_captioners.build_qwen2_vl])
def test_an_image_text_model_gets_the_picture(build: Callable[[Path], Path], tmp_path: Path) -> None:
    folder = saying_words_only(build(tmp_path / "eyes"))
    config = KnowledgeConfig(model=str(folder), picture=True, max_new_tokens=6, device="cpu", prompt="short")

    def answers(colour: str) -> list[KnowledgeValue]:
        picture = Image.new("RGB", (60, 40), colour)
        posts = [Item("1", "post 1", lambda: picture, text="a city"), Item("2", "post 2", None, text="a city")]
        found = KnowledgeStage(config).run(posts)
        return [value for value in found if isinstance(value, KnowledgeValue)]

    red, blue = answers("red"), answers("blue")
    assert len(red) == len(blue) == 2
    assert red[0].prompt_tokens > red[1].prompt_tokens
    assert red[1] == blue[1]
    assert red == answers("red")


def test_a_prompt_longer_than_the_context_is_a_failure(tmp_path: Path) -> None:
    config = KnowledgeConfig(
        model=str(build_chat(tmp_path / "chat")), max_new_tokens=5, device="cpu", prompt="short"
    )
    long = Item("1", "post 1", None, text="paris " * 600)
    found, other = KnowledgeStage(config).run([long, Item("2", "post 2", None, text="paris")])
    assert isinstance(found, Failure)
    assert found.kind is FailureKind.PERMANENT
    assert found.reason == "625 tokens of prompt and 5 of answer are more than the 512 that chat takes"
    assert isinstance(other, KnowledgeValue)
