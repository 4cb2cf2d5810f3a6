"""Find the images and posts that a target names: a source of images, a file of posts, or a dataset."""

from __future__ import annotations

from pathlib import Path

from ita_pipeline.cache.manifest import Manifest
from ita_pipeline.core.config import config_files
from ita_pipeline.core.errors import MissingError, UsageError
from ita_pipeline.corpus.datasets import Dataset, load_dataset
from ita_pipeline.corpus.formats import parse_posts
from ita_pipeline.corpus.picture_files import PictureFiles
from ita_pipeline.extraction.items import PostSource
from ita_pipeline.sources.classify import TargetKind, classify, describe_file
from ita_pipeline.sources.discover import discover
from ita_pipeline.sources.local import LocalFile
from ita_pipeline.sources.refs import SourceListing

_FOLDER_HINT = "ita extract FOLDER, a folder with pictures"


def resolve_target(
    target: Path | str, posts_are_read: bool, data: Path | None, workspace_data: Path, manifest: Manifest
) -> tuple[SourceListing, PostSource | None]:
    """Find the images of a target, and its posts if it has any.

    The posts of a folder count only if a stage reads posts.

    Raises:
        UserError: the target is missing or empty.
    """
    path, kind = Path(target), classify(target)
    if kind is TargetKind.POSTS_FILE:
        records = list(parse_posts(path, "jsonl"))
        files = PictureFiles(path.parent)
        posts = tuple(files.complete(record.post) for record in records)
        train = tuple(post for post, record in zip(posts, records, strict=True) if record.split == "train")
        return _with_images(PostSource(posts, train, str(path.absolute())), target, posts_are_read)
    if kind is TargetKind.POSTS_FOLDER and posts_are_read:
        dataset = load_dataset(str(path), None, workspace_data)
    elif kind.is_source or path.is_dir():
        return discover(str(target), manifest), None
    else:
        dataset = _load_by_name(target, kind, data, workspace_data)
    source = PostSource.from_dataset(dataset)
    return _with_images(source, target, posts_are_read, dataset.notes)


def _load_by_name(target: Path | str, kind: TargetKind, data: Path | None, workspace_data: Path) -> Dataset:
    """Load a dataset by the name or the file of its card.

    Raises:
        UserError: the target is a file of another kind, or the dataset is missing or malformed.
    """
    name, path = str(target), Path(target)
    if path.exists() and kind is not TargetKind.DATASET_CARD and name not in config_files("datasets"):
        what, hint = describe_file(path, kind)
        raise UsageError(f"{path} is {what}, not pictures or posts with pictures", hint)
    if not path.exists() and (path.suffix or len(path.parts) > 1):
        raise MissingError(f"there is no file or folder {path}", _FOLDER_HINT)
    try:
        return load_dataset(name, data, workspace_data)
    except (MissingError, UsageError) as error:
        if path.exists() or name in config_files("datasets"):
            raise
        hint = error.hint if error.hint.endswith("?") else _FOLDER_HINT
        raise MissingError(f"there is no folder {name}, and no dataset of that name", hint) from error


def _with_images(
    source: PostSource, target: Path | str, posts_are_read: bool, notes: tuple[str, ...] = ()
) -> tuple[SourceListing, PostSource]:
    """Return posts with their images.

    Raises:
        UsageError: there are no posts, or no images while no stage reads posts.
    """
    if not source.posts:
        raise UsageError(f"there is no post in {target}", 'write lines of {"text": …, "image": "x.jpg"}')
    paths = dict.fromkeys(file for post in source.posts for file in post.files)
    if not paths and not posts_are_read:
        hint = "--set knowledge.endpoint=… --set knowledge.model=… asks a language model"
        raise UsageError(f"the posts of {target} have no pictures, and no stage reads posts", hint)
    return SourceListing(tuple(map(LocalFile, paths)), notes=notes), source
