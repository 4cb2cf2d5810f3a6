"""BLIP's captions beside the loop that a user writes: one picture at a time, the processor, then `generate`.

    python -m benchmarks.captions [PICTURES] [--dtype bfloat16]

Both have the same weights, random ones of the size of BLIP base, as there are none in any package. Random weights
end a caption anywhere, so the end is made impossible, and both write `TOKENS` tokens of five beams a picture.
"""

from __future__ import annotations

import argparse
import os
import resource
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
os.environ.setdefault("GOMP_SPINCOUNT", "0")

from benchmarks.timing import HEADER, Comparison, compare
from stages.base import Item
from stages.caption.schema import CaptionConfig, CaptionValue
from stages.caption.stage import CaptionStage

TOKENS, BEAMS, BATCH, PAIRS, THREADS = 20, 5, 8, 2, 2
SIDE = 2048


def build(folder: Path) -> Path:
    """A folder with a BLIP model of the size of `Salesforce/blip-image-captioning-base`, and random weights."""
    import torch
    from transformers import (
        BertTokenizerFast,  # pyright: ignore[reportAttributeAccessIssue]
        BlipConfig,
        BlipForConditionalGeneration,
        BlipImageProcessor,
        BlipProcessor,
    )

    torch.manual_seed(0)
    model = BlipForConditionalGeneration(BlipConfig(vision_config={"initializer_range": 0.02})).eval()
    text: Any = model.config.text_config
    model.text_decoder.cls.predictions.bias.data[text.sep_token_id] -= 1000
    model.save_pretrained(folder)
    special = {"[PAD]": 0, "[UNK]": 100, "[CLS]": 101, "[SEP]": 102, "[MASK]": 103}
    words = {f"w{index}": index for index in range(text.bos_token_id)}
    taken = set(special.values())
    vocabulary = {**special, **{word: index for word, index in words.items() if index not in taken}}
    tokenizer = BertTokenizerFast(vocab=vocabulary)
    BlipProcessor(BlipImageProcessor(size={"height": 384, "width": 384}), tokenizer).save_pretrained(folder)
    return folder


def pictures(count: int) -> list[Any]:
    """Noise of a tweet picture's size; what is on it makes no difference to the time."""
    import numpy as np
    from PIL import Image

    rng = np.random.default_rng(0)
    return [Image.fromarray(rng.integers(0, 256, (800, 1200, 3), dtype=np.uint8)) for _ in range(count)]


def as_item(path: Path) -> Item:
    return Item(key=path.stem, name=path.name, decode=lambda: opened(path))


def opened(path: Path) -> Any:
    from PIL import Image

    return Image.open(path).convert("RGB")


class Loop:
    """What a user writes."""

    def __init__(self, folder: Path) -> None:
        from transformers import BlipForConditionalGeneration, BlipProcessor

        self.processor: Any = BlipProcessor.from_pretrained(folder)
        self.model = BlipForConditionalGeneration.from_pretrained(folder).eval()

    def __call__(self, path: Path) -> list[str]:
        inputs = self.processor(images=opened(path), return_tensors="pt")
        found = self.model.generate(
            **inputs, num_beams=BEAMS, num_return_sequences=BEAMS, max_new_tokens=TOKENS, do_sample=False
        )
        return self.processor.batch_decode(found, skip_special_tokens=True)


def peak(dtype: str) -> float:
    """Floating-point operations a processor second in the fastest product of two matrices just now."""
    import torch

    left, right = (torch.randn(SIDE, SIDE).to(getattr(torch, dtype)) for _ in range(2))
    return 2 * SIDE**3 / min(processor_seconds(lambda: left @ right) for _ in range(8))


def processor_seconds(work: Callable[[], object]) -> float:
    """Of all cores together, so that a busy neighbour counts for little."""
    began = time.process_time()
    work()
    return time.process_time() - began


def operations(model: Any) -> float:
    """Floating-point operations of the products that a caption needs, each counted once a picture or a beam."""
    vision, text = model.config.vision_config, model.config.text_config
    patches = (vision.image_size // vision.patch_size) ** 2 + 1
    seen = patches * weights(model.vision_model) + 2 * vision.num_hidden_layers * patches**2 * vision.hidden_size
    shared = [layer.crossattention.self for layer in model.text_decoder.bert.encoder.layer]
    once = sum(weights(attention.key) + weights(attention.value) for attention in shared)
    attended = 2 * text.num_hidden_layers * patches * text.hidden_size
    spoken = BEAMS * TOKENS * (weights(model.text_decoder) - once + attended)
    return 2.0 * (seen + patches * once + spoken)


def weights(module: Any) -> int:
    """Elements of the matrices that rows are multiplied with."""
    import torch

    return sum(part.weight.numel() for part in module.modules() if isinstance(part, torch.nn.Linear))


def run(count: int = BATCH, dtype: str = "float32") -> Iterator[Comparison | str]:
    """The comparison, then what it reached, what it took and whether both said the same."""
    import torch

    torch.set_num_threads(THREADS)
    with tempfile.TemporaryDirectory() as place:
        folder = build(Path(place) / "blip")
        paths = [Path(place) / f"{number}.jpg" for number in range(count)]
        for path, picture in zip(paths, pictures(count), strict=True):
            picture.save(path, quality=90)
        items = [as_item(path) for path in paths]
        stage = stage_of(folder, dtype)
        captions(stage, items[:BATCH])
        memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
        loop, peaks = Loop(folder), [peak(dtype)]
        said: list[list[list[str]]] = [[], []]
        spent: list[float] = []

        def ours() -> None:
            began = time.process_time()
            said[0] = captions(stage, items)
            spent.append(time.process_time() - began)

        def theirs() -> None:
            said[1] = [loop(path) for path in paths]

        name = f"{count} captions, BLIP base in {dtype}, a loop of generate"
        compared = compare(name, ours, theirs, PAIRS)
        peaks.append(peak(dtype))
        same = sum(mine == other for mine, other in zip(*said, strict=True))
        yield compared
        reached = operations(loop.model) * count / min(spent)
        yield f"  captions the same for {same} of {count} pictures; {memory:.1f} GB at most, before the loop"
        share = f"{reached / max(peaks):.0%} of the fastest product of matrices"
        yield f"  {reached / 1e9:.0f} of {max(peaks) / 1e9:.0f} GFLOP a processor second: {share}"


def stage_of(folder: Path, dtype: str) -> CaptionStage:
    settings = {"beams": BEAMS, "max_new_tokens": TOKENS, "batch": BATCH, "device": "cpu", "dtype": dtype}
    return CaptionStage(CaptionConfig(model=str(folder), **settings))


def captions(stage: CaptionStage, items: Sequence[Item]) -> list[list[str]]:
    values = [value for n in range(0, len(items), BATCH) for value in stage.run(items[n : n + BATCH])]
    return [[caption.text for caption in value.captions] for value in values if isinstance(value, CaptionValue)]


def main() -> None:
    parser = argparse.ArgumentParser(description="BLIP's captions beside a loop of generate.")
    parser.add_argument("pictures", nargs="?", type=int, default=BATCH)
    parser.add_argument("--dtype", default="float32", choices=["float32", "bfloat16"])
    options = parser.parse_args()
    print(HEADER)
    for line in run(options.pictures, options.dtype):
        print(line, flush=True)


if __name__ == "__main__":
    main()
