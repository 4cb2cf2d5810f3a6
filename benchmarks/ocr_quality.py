"""How well words are read, and how fast: `python -m benchmarks.ocr_quality DATA` (or `ITA_OCR_DATA`).

DATA has `icdar2015/` (photos `img_N.jpg` with `gt_img_N.txt`) and `coco128/` (photos); screenshots and memes are
made here. Photos and made pictures are split in halves, so that settings tuned on one can be judged on the other.
Words are compared without regard to case and to punctuation at their ends; those of fewer than three characters
do not count.
"""

from __future__ import annotations

import importlib.util
import os
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

from benchmarks.counts import Score
from benchmarks.text_pictures import SENTENCES, memes, screenshots
from ita_pipeline.corpus.contexts import ContextConfig, is_trusted
from stages.base import Failure, Item
from stages.ocr.schema import OcrConfig, OcrValue, Word
from stages.ocr.stage import OcrStage
from stages.ocr.tesseract import find_tesseract

SHORTEST = 3
COVERED = 0.5
# Photos of coco128 in which someone could read a letter.
WITH_WRITING = frozenset(
    [
        "042",
        "071",
        "089",
        "094",
        "110",
        "138",
        "165",
        "192",
        "247",
        "308",
        "349",
        "360",
        "394",
        "415",
        "471",
        "472",
        "529",
        "532",
        "590",
    ]
)

Box = tuple[int, int, int, int]
Reader = Callable[[Sequence[Image.Image]], list[list[Word]]]


@dataclass(frozen=True)
class Sample:
    """A picture, the words to be found (with boxes if they are known) and the boxes of illegible ones."""

    name: str
    picture: Image.Image
    words: tuple[str, ...]
    boxes: tuple[Box, ...] = ()
    illegible: tuple[Box, ...] = ()


def bare(text: str) -> str:
    """Lower case, without what is neither letter nor digit at the ends."""
    text = text.casefold()
    kept = [place for place, character in enumerate(text) if character.isalnum()]
    return text[kept[0] : kept[-1] + 1] if kept else ""


def counted(texts: Iterable[str]) -> list[str]:
    return [text for text in map(bare, texts) if len(text) >= SHORTEST]


def score_by_text(samples: Sequence[Sample], read: Sequence[Sequence[Word]]) -> Score:
    """One-to-one: each word of the picture can be found once, wherever it stands."""
    right = found = expected = 0
    for sample, words in zip(samples, read, strict=True):
        wanted, got = Counter(counted(sample.words)), Counter(counted(word.text for word in words))
        right += (wanted & got).total()
        found += got.total()
        expected += wanted.total()
    return Score(right, found, expected)


def score_by_box(samples: Sequence[Sample], read: Sequence[Sequence[Word]]) -> Score:
    """The same, if the boxes cover each other by half; words read where no one can are left aside."""
    right = found = expected = 0
    for sample, words in zip(samples, read, strict=True):
        wanted = [(bare(text), box) for text, box in zip(sample.words, sample.boxes, strict=True)]
        wanted = [(text, box) for text, box in wanted if len(text) >= SHORTEST]
        expected += len(wanted)
        for word in words:
            text = bare(word.text)
            if len(text) < SHORTEST or any(share(word.box, box) > COVERED for box in sample.illegible):
                continue
            found += 1
            match = next((w for w in wanted if w[0] == text and overlap(word.box, w[1]) >= COVERED), None)
            if match:
                wanted.remove(match)
                right += 1
    return Score(right, found, expected)


def common(a: Box, b: Box) -> int:
    return max(0, min(a[2], b[2]) - max(a[0], b[0])) * max(0, min(a[3], b[3]) - max(a[1], b[1]))


def area(box: Box) -> int:
    return max(1, (box[2] - box[0]) * (box[3] - box[1]))


def overlap(a: Box, b: Box) -> float:
    """Intersection over union."""
    both = common(a, b)
    return both / (area(a) + area(b) - both)


def share(inner: Box, outer: Box) -> float:
    """How much of `inner` is in `outer`."""
    return common(inner, outer) / area(inner)


def icdar(folder: Path) -> list[Sample]:
    samples = []
    for path in sorted(folder.glob("img_*.jpg"), key=lambda path: int(path.stem.split("_")[1])):
        words, boxes, illegible = [], [], []
        for line in (folder / f"gt_{path.stem}.txt").read_text("utf-8-sig").splitlines():
            *corners, text = line.split(",", 8)
            xs, ys = [int(x) for x in corners[0::2]], [int(y) for y in corners[1::2]]
            box = (min(xs), min(ys), max(xs), max(ys))
            if text == "###":
                illegible.append(box)
            else:
                words.append(text)
                boxes.append(box)
        samples.append(Sample(path.stem, opened(path), tuple(words), tuple(boxes), tuple(illegible)))
    return samples


def opened(path: Path) -> Image.Image:
    return Image.open(path).convert("RGB")


def made(count: int, seed: int, *languages: str) -> list[Sample]:
    found = [written for language in languages for written in screenshots(count, language, seed)]
    return [Sample(written.name, written.picture, written.words) for written in found]


def captioned(photos: Sequence[Path], seed: int) -> list[Sample]:
    return [Sample(written.name, written.picture, written.words) for written in memes(photos, seed)]


def sets_of(data: Path, half: int) -> dict[str, list[Sample]]:
    """One half (0 or 1) of every kind of picture."""
    photos = sorted((data / "coco128").glob("*.jpg"))
    bare_photos = [path for path in photos if path.stem[-3:] not in WITH_WRITING]
    return {
        "photos": icdar(data / "icdar2015")[half::2],
        "screens": made(24, 1 + half, "eng"),
        "memes": captioned(photos[half::2], 1 + half),
        "no text": [Sample(path.stem, opened(path), ()) for path in bare_photos[half::2]],
    }


def by_stage(**settings: object) -> Reader:
    """The stage, and of its words those that the default contexts keep."""

    def read(pictures: Sequence[Image.Image]) -> list[list[Word]]:
        stage = OcrStage(OcrConfig.model_validate(settings))
        found: list[list[Word]] = []
        for start in range(0, len(pictures), stage.batch_size):
            batch = pictures[start : start + stage.batch_size]
            items = [Item(str(n), str(n), lambda picture=picture: picture) for n, picture in enumerate(batch)]
            for value in stage.run(items):
                if isinstance(value, Failure):
                    raise RuntimeError(value.reason)
                assert isinstance(value, OcrValue)
                found.append([word for word in value.words if is_trusted(word, ContextConfig())])
        return found

    return read


def by_loop(page_mode: int = 3, confidence: float = 0, language: str = "eng") -> Reader:
    """What a user writes: pytesseract, one picture after the other."""
    import pytesseract

    def read(pictures: Sequence[Image.Image]) -> list[list[Word]]:
        found = []
        for picture in pictures:
            data = pytesseract.image_to_data(
                picture, language, f"--psm {page_mode}", output_type=pytesseract.Output.DICT
            )
            rows = zip(*(data[key] for key in ("text", "conf", "left", "top", "width", "height")), strict=True)
            found.append(
                [
                    Word(text=text, confidence=conf / 100, box=(x, y, x + w, y + h), line=0)
                    for text, conf, x, y, w, h in rows
                    if text.strip() and conf >= confidence
                ]
            )
        return found

    return read


READERS: dict[str, Reader] = {
    "pytesseract, defaults": by_loop(),
    "pytesseract, mode 11, from 60": by_loop(11, 60),
    "the stage, page_mode 3": by_stage(page_mode=3),
    "the stage, page_mode 11": by_stage(page_mode=11),
    "the stage, line by line": by_stage(),
}

if importlib.util.find_spec("rapidocr"):
    READERS["the stage, engine rapidocr"] = by_stage(engine="rapidocr")


def measured(reader: Reader, sets: dict[str, list[Sample]]) -> Iterator[str]:
    """A cell for each set: precision, recall, F1 (photos also by box), or false words a picture; seconds each."""
    for name, samples in sets.items():
        began = time.perf_counter()
        read = reader([sample.picture for sample in samples])
        seconds = (time.perf_counter() - began) / len(samples)
        score = score_by_text(samples, read)
        if name == "no text":
            yield f"{score.found / len(samples):.2f} false, {seconds:.2f} s"
            continue
        cell = f"P {score.precision:.2f} R {score.recall:.2f} F1 {score.f1:.3f}, {seconds:.2f} s"
        if name == "photos":
            cell += f", by box F1 {score_by_box(samples, read).f1:.3f}"
        yield cell


def in_other_languages(half: int) -> Iterator[str]:
    """Screenshots in the languages that Tesseract has here besides English."""
    _, folder = find_tesseract()
    for language in sorted(set(SENTENCES) - {"eng"}):
        if (folder / f"{language}.traineddata").is_file():
            sets = {"screens": made(12, 1 + half, language)}
            (loop,), (lines,) = (
                measured(by_loop(language=language), sets),
                measured(by_stage(languages=language), sets),
            )
            yield f"screens in {language}: pytesseract, defaults: {loop} | the stage: {lines}"


def main(arguments: Sequence[str]) -> None:
    place = arguments[0] if arguments else os.environ.get("ITA_OCR_DATA", "")
    if not place or not (Path(place) / "icdar2015").is_dir():
        sys.exit("usage: python -m benchmarks.ocr_quality FOLDER, which has icdar2015/ and coco128/")
    for half, title in enumerate(("tuned on", "held out")):
        sets = sets_of(Path(place), half)
        print(f"{title}: " + ", ".join(f"{len(samples)} {name}" for name, samples in sets.items()))
        for name, reader in READERS.items():
            print(f"  {name}: " + " | ".join(measured(reader, sets)), flush=True)
        for line in in_other_languages(half):
            print(f"  {line}", flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
