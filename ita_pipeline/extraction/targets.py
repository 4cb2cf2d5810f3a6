"""What a person means by a target: a source of pictures, a file of posts, or a dataset."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path, PurePath

from ita_pipeline.cache.manifest import Manifest
from ita_pipeline.core.errors import UsageError
from ita_pipeline.corpus.datasets import Dataset, drop_missing_image, find_dataset, load_dataset
from ita_pipeline.corpus.formats.jsonl import read_jsonl
from ita_pipeline.corpus.posts import Post
from ita_pipeline.extraction.pictures import is_pictures, pictures_in
from ita_pipeline.extraction.posts import PostSource
from ita_pipeline.sources.base import Place
from ita_pipeline.sources.discover import is_source, sight
from ita_pipeline.sources.file_list import is_picture_list
from ita_pipeline.sources.local import LocalFile
from ita_pipeline.sources.refs import Unreadable

POSTS = (".jsonl", ".ndjson")


@dataclass(frozen=True, slots=True)
class Seen:
    """Pictures, and posts where there are any; the rest as `Found` has it."""

    pictures: tuple[Place, ...]
    others: tuple[PurePath, ...] = ()
    closed: tuple[Unreadable, ...] = ()
    source: PostSource | None = None
    notes: tuple[str, ...] = ()


def is_posts_file(path: Path) -> bool:
    return path.suffix.lower() in POSTS and path.is_file() and not is_picture_list(path)


def resolve_target(
    target: Path | str, posts_are_read: bool, data: Path | None, workspace_data: Path, manifest: Manifest
) -> Seen:
    """What there is to look at. Of a folder it is the pictures below it, and its posts if any stage reads posts.

    Raises:
        UserError: there is no such thing, or nothing in it.
    """
    path = Path(target)
    if is_source(str(target)):
        return seen_at(str(target), manifest)
    if is_posts_file(path):
        read = read_jsonl(path)
        posts = tuple(drop_missing_image(found.post) for found in read)
        train = tuple(post for post, found in zip(posts, read, strict=True) if found.split == "train")
        source = PostSource(posts, train, str(path.absolute()))
        return with_posts(source, posts_are_read, target)
    if path.is_dir():
        dataset = (
            load_dataset(str(path), None, workspace_data) if posts_are_read and not is_pictures(path) else None
        )
        if dataset is None:
            return seen_at(str(target), manifest)
        return with_posts(source_of(dataset), True, target, dataset.notes)
    if path.exists() or path.suffix in POSTS or len(path.parts) > 1:
        pictures_in(path)  # which says what is the matter with it
    try:
        dataset = load_dataset(str(target), data, workspace_data)
    except UsageError as error:
        if find_or_none(str(target)):
            raise
        hint = error.hint if error.hint.endswith("?") else "ita extract FOLDER, a folder with pictures"
        raise UsageError(f"there is no folder {target}, and no dataset of that name", hint) from error
    return with_posts(source_of(dataset), posts_are_read, target, dataset.notes)


def seen_at(target: str, manifest: Manifest) -> Seen:
    found = sight(target, manifest)
    return Seen(found.pictures, found.others, found.closed, notes=found.notes)


def find_or_none(name: str) -> Path | None:
    try:
        return find_dataset(name)
    except UsageError:
        return None


def source_of(dataset: Dataset) -> PostSource:
    return PostSource(dataset.posts, dataset.splits.get("train", ()), str(dataset.folder.absolute()))


def with_posts(source: PostSource, posts_are_read: bool, target: Path | str, notes: tuple[str, ...] = ()) -> Seen:
    pictures = tuple(dict.fromkeys(pictures_of(source.posts)))
    if not source.posts:
        raise UsageError(f"there is no post in {target}", 'write lines of {"text": …, "image": "x.jpg"}')
    if not pictures and not posts_are_read:
        hint = "--set knowledge.endpoint=… --set knowledge.model=… asks a language model"
        raise UsageError(f"the posts of {target} have no pictures, and no stage reads posts", hint)
    return Seen(tuple(map(LocalFile, pictures)), source=source, notes=notes)


def pictures_of(posts: tuple[Post, ...]) -> list[Path]:
    return [post.picture for post in posts if post.picture is not None]
