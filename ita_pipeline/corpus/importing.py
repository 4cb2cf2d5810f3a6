"""Import datasets and contexts of other projects, for `ita data import` and `ita data import-contexts`."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from ita_pipeline.core.errors import MissingError, UsageError
from ita_pipeline.core.files import new_folder, refuse_existing
from ita_pipeline.core.text import format_count
from ita_pipeline.corpus.datasets import CONTEXTS_FILE, SPLITS, Dataset
from ita_pipeline.corpus.formats import FORMATS
from ita_pipeline.corpus.formats.conll import read_text
from ita_pipeline.corpus.formats.fields import format_fields
from ita_pipeline.corpus.formats.hf_datasets import ColumnNames, import_posts
from ita_pipeline.corpus.formats.kbner import ContextedTweet, escape_word, read_contexted_tweets
from ita_pipeline.corpus.formats.label_studio_reader import TaskReader
from ita_pipeline.corpus.formats.schemes import decode_tags, describe_scheme, find_scheme
from ita_pipeline.corpus.formats.vinvl import ImportedContexts, read_context_files
from ita_pipeline.corpus.posts import Picture, Post, PostWithContexts
from ita_pipeline.sources.classify import NOT_TEXT, classify, describe_file
from ita_pipeline.sources.columns import WORD_COLUMNS, find_column
from ita_pipeline.sources.decode import copy_image
from ita_pipeline.sources.hub_datasets import find_split, load, split_from_name
from stages.external import ContextLine, format_contexts


@dataclass
class ImportedDataset:
    """Posts by split, contexts by the name of the image, and notes about the import.

    Posts without a split are under an empty name. With `as_text`, posts are written as text, not as words.
    """

    splits: dict[str, list[Post]] = field(default_factory=dict)
    contexts: dict[str, ContextLine] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    as_text: bool = False


def import_contexts(files: Sequence[Path], to: Path) -> ImportedContexts:
    """Merge contexts of VinVL, Oscar or others into one file for `--captions`.

    Raises:
        UserError: a file is missing or has no known form, or `to` exists.
    """
    refuse_existing(to)
    contexts = read_context_files(files)
    if not contexts.lines:
        what = f"there is nothing in {', '.join(map(str, files))}"
        raise UsageError(what, "name files with predictions or captions")
    to.parent.mkdir(parents=True, exist_ok=True)
    with to.open("x", encoding="utf-8") as file:
        file.writelines(format_contexts(contexts.lines.values()))
    return contexts


def import_tweets(source: Path, to: Path, like: Dataset | None = None, knowledge: bool = False) -> ImportedDataset:
    """Write a file or folder of tweets with contexts as a folder that `--dataset` takes.

    With `like`, tweets are paired by their words with the posts of that dataset, and take over its ids. With
    `knowledge` the contexts are texts of a language model and become the context of that name, else `extra`.

    Raises:
        UserError: files are missing or faulty, or `to` exists.
    """
    refuse_existing(to)
    imported = ImportedDataset()
    notify = imported.notes.append
    files = _find_tweet_files(source)
    if source.is_dir():
        imported.notes += _describe_skipped_files(files)
    for split, file in files.items():
        tweets = read_contexted_tweets(file)
        scheme = find_scheme((tweet.tags or () for tweet in tweets), {})
        imported.notes += [f"{split}: {note}" for note in describe_scheme(scheme)]
        image_ids = _read_image_ids(file, split, tweets)
        numbered = enumerate(zip(tweets, image_ids, strict=True), 1)
        pairs = [_build_post(tweet, f"{split}-{n}", image_id) for n, (tweet, image_id) in numbered]
        if like is not None:
            pairs = _pair_by_words(pairs, split, like, notify)
        elif not any(image_ids) and pairs:
            first, last = pairs[0][0].id, pairs[-1][0].id
            notify(f"{split}: no ids of pictures; posts are numbered {first} to {last}")
        without_context = [post.id for post, contexts in pairs if not contexts]
        if without_context and len(without_context) < len(pairs):
            names = _list_some(without_context)
            notify(
                f"{split}: without a context: {len(without_context)} of {format_count(len(pairs), 'tweet')}: "
                + names
            )
        imported.splits[split] = [post for post, _ in pairs]
        _add_contexts(imported, pairs, knowledge)
    with new_folder(to) as folder:
        _write_dataset(imported, folder)
    return imported


def import_dataset(
    source: str,
    to: Path,
    tag_names: str | None = None,
    text_column: str | None = None,
    image_column: str | None = None,
) -> ImportedDataset:
    """Write a table, or a dataset of the library `datasets`, as a folder that `--dataset` takes.

    Raises:
        MissingError: the dataset is neither here nor on the hub.
        UsageError: it has neither words nor texts, a tag or a mention is invalid, or `to` exists.
    """
    refuse_existing(to)
    imported = ImportedDataset()
    columns = ColumnNames.of(source, text_column, image_column)
    splits = load(source)
    imported.as_text = all(find_column(rows.column_names, WORD_COLUMNS) is None for rows in splits.values())
    with new_folder(to) as folder:
        for name, rows in splits.items():
            is_file = Path(source).is_file()
            split = (find_split(Path(source).stem) or "") if is_file else split_from_name(name)
            if split in imported.splits:
                what = f"{source} has several splits for {split}"
                raise UsageError(what, "save the one that you mean as a folder")
            for own_split, post in import_posts(rows, split, folder, imported.notes, tag_names, columns):
                imported.splits.setdefault(own_split, []).append(post)
        _copy_pictures(imported, folder)
        _write_dataset(imported, folder)
    return imported


def import_tasks(
    source: Path,
    to: Path,
    pictures: Path | None = None,
    text_column: str | None = None,
    image_column: str | None = None,
) -> ImportedDataset:
    """Write the tasks that Label Studio has exported to a file as a folder that `--dataset` takes.

    Pictures are copied from the file's folder, or from the folder `pictures`. Boxes become objects of pictures.

    Raises:
        MissingError: the file cannot be read.
        UsageError: it is no export of Label Studio, a region of a task is invalid, or `to` exists.
    """
    refuse_existing(to)
    imported = ImportedDataset(as_text=True)
    folders = [*([pictures] if pictures else []), source.parent]
    reader = TaskReader(source, folders, text_column, image_column)
    with new_folder(to) as folder:
        for split, post in reader.read():
            imported.splits.setdefault(split, []).append(post)
        lines = (ContextLine(image=name, objects=value) for name, value in reader.objects.items())
        imported.contexts = {line.image: line for line in lines}
        imported.notes += reader.notes()
        _copy_pictures(imported, folder)
        _write_dataset(imported, folder)
    return imported


def _copy_pictures(imported: ImportedDataset, folder: Path) -> None:
    """Copy the pictures of all posts that are not in the folder yet, under their names."""
    pictures = (one for posts in imported.splits.values() for post in posts for one in post.pictures)
    files = {folder / one.name: one.file for one in pictures if one.file is not None}
    left_out = sum(file != path and not copy_image(file, path) for path, file in files.items())
    if left_out:
        imported.notes.append(f"pictures in no supported format, or that cannot be read: {left_out}")


def _find_tweet_files(source: Path) -> dict[str, Path]:
    """The file of each split. Of ITA's two folders, the one with contexts is used; its name contains `doc`."""
    if source.is_file():
        kind = classify(source)
        if kind in NOT_TEXT:
            what, hint = describe_file(source, kind)
            raise UsageError(f"{source} is {what}, not a file of tweets with contexts", hint)
        return {find_split(source.name) or "train": source}
    if not source.is_dir():
        raise MissingError(f"there is no file or folder {source}", "ita data import FOLDER --to FOLDER")
    for folder in [source, *sorted(path for path in source.iterdir() if path.is_dir() and "doc" in path.name)]:
        files: dict[str, Path] = {}
        for file in sorted(path for path in folder.iterdir() if path.is_file()):
            split = find_split(file.name)
            if split is None or file.suffix.lower() not in FORMATS["conll"].suffixes:
                continue
            if split in files:
                what = f"{files[split]} and {file} are both of {split}"
                raise UsageError(what, "import a folder with one of them")
            files[split] = file
        if files:
            return {split: files[split] for split in SPLITS if split in files}
    raise MissingError(f"{source} has no file for train, dev or test", "name them train.txt, dev.txt and test.txt")


def _describe_skipped_files(files: Mapping[str, Path]) -> Iterator[str]:
    """Notes about files next to these that are named after a split but have another suffix."""
    for folder in {file.parent for file in files.values()}:
        for path in sorted(folder.iterdir()):
            split = find_split(path.name)
            if path.is_file() and split in SPLITS and split not in files:
                yield f"{split}: {path.name} is not read; if it is in CoNLL form, call it {split}.txt"


def _read_image_ids(file: Path, split: str, tweets: Sequence[ContextedTweet]) -> list[str | None]:
    """Image ids: in the file itself, or one per line in `img/`, next to the file or its folder (as in KB-NER)."""
    for folder in (file.parent / "img", file.parent.parent / "img"):
        id_file = next((path for path in (folder / file.name, folder / f"{split}.txt") if path.is_file()), None)
        if id_file is not None:
            ids = [line.strip() or None for line in read_text(id_file).removesuffix("\n").split("\n")]
            if len(ids) != len(tweets):
                lines, count = format_count(len(ids), "line"), format_count(len(tweets), "tweet")
                what = f"{id_file} has {lines} for {count} of {file}"
                raise UsageError(what, "move it away")
            return ids
    return [tweet.image_id for tweet in tweets]


def _build_post(tweet: ContextedTweet, number: str, image_id: str | None) -> PostWithContexts:
    gold = None if tweet.tags is None else tuple(decode_tags(tweet.tags, {}))
    post = Post.from_words(image_id or number, tweet.words, gold)
    # Contexts are stored by the name of the image, so a tweet without one gets its number instead.
    name = image_id or (number if tweet.contexts else None)
    return replace(post, pictures=(Picture(name),) if name else ()), tweet.contexts


def _pair_by_words(
    pairs: Sequence[PostWithContexts], split: str, like: Dataset, notify: Callable[[str], None]
) -> list[PostWithContexts]:
    """Give each tweet the ids of the post of `like` with the same words."""
    posts = like.splits.get(split, ())
    waiting: dict[tuple[str, ...], list[Post]] = defaultdict(list)
    for post in posts:
        waiting[tuple(map(escape_word, post.words))].append(post)
    result: list[PostWithContexts] = []
    unknown = relabeled = 0
    for tweet, contexts in pairs:
        candidates = waiting[tweet.words]
        if not candidates:
            unknown += 1
            result.append((tweet, contexts))
            continue
        post = candidates.pop(0)
        gold = tweet.gold
        if gold is not None:
            gold = tuple(replace(span, type=like.card.types.get(span.type, span.type)) for span in gold)
            relabeled += post.gold is not None and gold != post.gold
        # The files stay in the other dataset, under the names that they have there.
        pictures = tuple(Picture(one.name) for one in post.pictures) or tweet.pictures
        result.append((replace(tweet, id=post.id, pictures=pictures, gold=gold), contexts))
    left = {id(post) for candidates in waiting.values() for post in candidates}
    missing = [post for post in posts if id(post) in left]
    paired = len(posts) - len(missing)
    notify(f"{split}: {paired} of the {len(posts)} posts of {like.name} are in the file, by their words")
    if missing:
        last = " (the last one)" if missing == [posts[-1]] else ""
        names = _list_some([post.id for post in missing])
        notify(f"{split}: not in the file: {names}{last}; nothing is made up for them")
    if unknown:
        notify(f"{split}: not in {like.name}: {format_count(unknown, 'tweet')}, numbered by their order")
    if relabeled:
        notify(
            f"{split}: labels that differ from {like.name}: {format_count(relabeled, 'tweet')}; the file's are used"
        )
    return result


def _list_some(names: Sequence[str]) -> str:
    return ", ".join(names[:5]) + (", …" if len(names) > 5 else "")


def _add_contexts(imported: ImportedDataset, pairs: Sequence[PostWithContexts], knowledge: bool) -> None:
    """Add contexts by image name. Posts that share an image but have different contexts get none, and a note."""
    part = "knowledge" if knowledge else "texts"
    for post, contexts in pairs:
        if not post.pictures:
            continue
        name = post.pictures[0].name
        line = ContextLine.model_validate({"image": name, part: contexts})
        if imported.contexts.setdefault(name, line) != line:
            imported.contexts[name] = ContextLine(image=name, texts=())
            imported.notes.append(f"posts that share the picture {name} have other contexts; they are left out")


def _write_dataset(imported: ImportedDataset, folder: Path) -> None:
    """Write `tweets.jsonl`, and `contexts.jsonl` if there are contexts."""
    lines = [
        format_fields(post, split, imported.as_text) for split, posts in imported.splits.items() for post in posts
    ]
    text = "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines)
    (folder / "tweets.jsonl").write_text(text, "utf-8")
    contexts = [line for line in imported.contexts.values() if line.texts or line.knowledge or line.objects]
    if contexts:
        (folder / CONTEXTS_FILE).write_text("".join(format_contexts(contexts)), "utf-8")
