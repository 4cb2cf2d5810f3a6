"""Posts as a dataset of the library `datasets`, which `load_from_disk` and `load_dataset` read."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ita_pipeline.corpus.formats.fields import format_mention
from ita_pipeline.corpus.formats.schemes import encode_bio
from ita_pipeline.corpus.posts import Post, select_taggable
from ita_pipeline.sources.decode import find_image_problem


def write_dataset(folder: Path, splits: Mapping[str, Sequence[Post]]) -> tuple[list[Path], list[str]]:
    """Write labeled posts with their images as `save_to_disk` does. Returns the folders of the splits, and notes.

    A column `mentions` is added if the tags do not tell all: for parts of words, overlaps, and boxes.
    """
    import datasets

    posts = [post for split in splits.values() for post in split]
    gold = [span for post in posts for span in post.gold or ()]
    needs_mentions = any(span.boxes is not None for span in gold) or any(
        len(select_taggable(post.gold or ())) < len(post.gold or ()) for post in posts
    )
    is_list = any(len(post.pictures) > 1 for post in posts)
    tags = ["O", *(f"{prefix}-{name}" for name in sorted({span.type for span in gold}) for prefix in "BI")]
    integer, string = datasets.Value("int64"), datasets.Value("string")
    mention = {"start": integer, "end": integer, "type": string}
    boxes = datasets.List(datasets.List(datasets.Value("float64"), length=4))
    features: dict[str, Any] = {"id": string, "text": string, "tokens": datasets.List(string)}
    features["ner_tags"] = datasets.List(datasets.ClassLabel(names=tags))
    if needs_mentions:
        features["mentions"] = datasets.List(mention | {"boxes": boxes})
    features["images" if is_list else "image"] = datasets.List(datasets.Image()) if is_list else datasets.Image()
    datasets.disable_progress_bars()
    names = {split: "validation" if split == "dev" else split for split in splits}
    saved: Any = {
        names[split]: datasets.Dataset.from_list(
            [_format_row(post, features) for post in splits[split]], features=datasets.Features(features)
        )
        for split in splits
    }
    datasets.DatasetDict(saved).save_to_disk(str(folder))
    missing = sum(picture.file is None for post in posts for picture in post.pictures)
    return [folder / name for name in saved], [f"pictures left out, since they are missing: {missing}"] * bool(
        missing
    )


def _format_row(post: Post, features: Mapping[str, Any]) -> dict[str, Any]:
    row: dict[str, Any] = {"id": post.id, "text": post.text, "tokens": list(post.words)}
    row["ner_tags"] = None if post.gold is None else encode_bio(len(post.words), post.gold)
    if "mentions" in features:
        row["mentions"] = post.gold and [format_mention(post, span) for span in post.gold]
    # The library reads the files when it saves the rows, whatever they are.
    pictures = (file for file in post.files if not find_image_problem(file))
    files = [{"path": str(file.absolute()), "bytes": None} for file in pictures]
    return row | ({"images": files} if "images" in features else {"image": next(iter(files), None)})
