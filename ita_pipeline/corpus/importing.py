"""Datasets and contexts from the forms of other projects: what `ita data import` and `import-contexts` do."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from ita_pipeline.core.errors import MissingError, UsageError
from ita_pipeline.core.files import new_folder, refuse_existing
from ita_pipeline.corpus.datasets import CONTEXTS_FILE, SPLITS, Dataset
from ita_pipeline.corpus.formats.conll import decode_bio, encode_bio, read_text
from ita_pipeline.corpus.formats.hf_datasets import posts_of
from ita_pipeline.corpus.formats.kbner import ContextedTweet, escape_word, read_contexted_tweets
from ita_pipeline.corpus.formats.vinvl import ImportedContexts, read_context_files
from ita_pipeline.corpus.posts import Post, Span, join_words
from ita_pipeline.sources.hub_datasets import load, split_name, split_of_name
from stages.external import ContextLine, format_contexts

Rendered = tuple[Post, tuple[str, ...]]

TEXTS = (".txt", ".conll", ".bio", ".iob", ".tsv", "")


@dataclass
class ImportedDataset:
    """Posts by split, and what is known of their pictures by id."""

    splits: dict[str, list[Post]] = field(default_factory=dict)
    contexts: dict[str, ContextLine] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)


def import_contexts(files: Sequence[Path], to: Path) -> ImportedContexts:
    """Contexts of VinVL, Oscar or others, brought together into one file for `--captions`.

    Raises:
        UserError: a file is missing or in no known form, or `to` is there already.
    """
    refuse_existing(to)
    found = read_context_files(files)
    if not found.lines:
        raise UsageError(
            f"there is nothing in {', '.join(map(str, files))}", "name files with predictions or captions"
        )
    to.parent.mkdir(parents=True, exist_ok=True)
    with to.open("x", encoding="utf-8") as file:
        file.writelines(format_contexts(found.lines.values()))
    return found


def import_tweets(source: Path, to: Path, like: Dataset | None = None, knowledge: bool = False) -> ImportedDataset:
    """A file or folder of tweets with late contexts, written as a folder that `--dataset` takes.

    With `like`, tweets are paired by their words with the posts of that dataset, and take over its ids. With
    `knowledge` the contexts are the texts of a language model, and come in as the context of that name, else as
    `extra`.

    Raises:
        UserError: files are missing or faulty, or `to` is there already.
    """
    refuse_existing(to)
    found = ImportedDataset()
    files = late_files(source)
    if source.is_dir():
        found.notes += passed_over(files)
    for split, file in files.items():
        read = read_contexted_tweets(file)
        ids = picture_ids(file, split, read)
        pairs = [as_post(one, f"{split}-{n}", id) for n, (one, id) in enumerate(zip(read, ids, strict=True), 1)]
        if like is not None:
            pairs = paired(pairs, split, like, found.notes)
        elif not any(ids) and pairs:
            found.notes.append(
                f"{split}: no ids of pictures; posts are numbered {pairs[0][0].id} to {pairs[-1][0].id}"
            )
        tell_contexts(split, pairs, found.notes)
        found.splits[split] = [post for post, _ in pairs]
        add_texts(found, pairs, knowledge)
    write_posts(found, to)
    return found


def late_files(source: Path) -> dict[str, Path]:
    """The file of each split. Of ITA's two folders the one with contexts is taken; its name has `doc`."""
    if source.is_file():
        return {split_of_name(source.name) or "train": source}
    if not source.is_dir():
        raise MissingError(f"there is no file or folder {source}", "ita data import FOLDER --to FOLDER")
    folders = [source, *sorted(path for path in source.iterdir() if path.is_dir() and "doc" in path.name)]
    for folder in folders:
        found: dict[str, Path] = {}
        for file in sorted(path for path in folder.iterdir() if path.is_file() and path.suffix.lower() in TEXTS):
            split = split_of_name(file.name)
            if split in found:
                raise UsageError(
                    f"{found[split]} and {file} are both of {split}", "import a folder with one of them"
                )
            if split is not None:
                found[split] = file
        if found:
            return {split: found[split] for split in SPLITS if split in found}
    raise MissingError(f"{source} has no file for train, dev or test", "name them train.txt, dev.txt and test.txt")


def passed_over(files: Mapping[str, Path]) -> Iterator[str]:
    """What to do with files beside these that are called after a split and have another ending than a text's."""
    for folder in {file.parent for file in files.values()}:
        for path in sorted(folder.iterdir()):
            split = split_of_name(path.name)
            if path.is_file() and split in SPLITS and split not in files:
                yield f"{split}: {path.name} is not read; if it is in CoNLL form, call it {split}.txt"


def picture_ids(file: Path, split: str, read: Sequence[ContextedTweet]) -> list[str | None]:
    """Ids of pictures: in the file itself, or a line each in `img/`, which lies beside or above (KB-NER's way)."""
    for folder in (file.parent / "img", file.parent.parent / "img"):
        beside = next((path for path in (folder / file.name, folder / f"{split}.txt") if path.is_file()), None)
        if beside is not None:
            ids = [line.strip() or None for line in read_text(beside).removesuffix("\n").split("\n")]
            if len(ids) != len(read):
                what = f"{beside} has {len(ids)} lines for {len(read)} tweets of {file}"
                raise UsageError(what, "move it away")
            return ids
    return [one.image_id for one in read]


def as_post(late: ContextedTweet, number: str, picture: str | None) -> Rendered:
    text, offsets = join_words(late.words)
    gold = None if late.tags is None else tuple(decode_bio(late.tags, {}))
    # Contexts are kept by the picture's id, so a tweet without one gets the number for it.
    image = picture or (number if late.contexts else None)
    return Post(picture or number, text, late.words, offsets, gold, image_id=image), late.contexts


def paired(pairs: Sequence[Rendered], split: str, like: Dataset, notes: list[str]) -> list[Rendered]:
    """Each tweet under the ids of the post with the same words; those that it lacks are named, not guessed."""
    posts = like.splits.get(split, ())
    waiting: dict[tuple[str, ...], list[Post]] = defaultdict(list)
    for post in posts:
        waiting[tuple(map(escape_word, post.words))].append(post)
    result: list[Rendered] = []
    found: set[int] = set()
    other = unknown = 0
    for post, contexts in pairs:
        candidates = waiting[post.words]
        if not candidates:
            unknown += 1
            result.append((post, contexts))
            continue
        known = candidates.pop(0)
        found.add(id(known))
        gold = None if post.gold is None else renamed(post.gold, like.card.types)
        other += gold is not None and known.gold is not None and gold != known.gold
        image = known.image_id or post.image_id
        result.append((replace(post, id=known.id, image_id=image, gold=gold), contexts))
    missing = [post for post in posts if id(post) not in found]
    notes.append(f"{split}: {len(found)} of the {len(posts)} posts of {like.name} are in the file, by their words")
    if missing:
        last = " (the last one)" if missing == [posts[-1]] else ""
        names = ", ".join(post.id for post in missing[:5]) + (", …" if len(missing) > 5 else "")
        notes.append(f"{split}: not in the file: {names}{last}; nothing is made up for them")
    if unknown:
        notes.append(f"{split}: {unknown} tweets are none of {like.name}; they keep numbers of their own")
    if other:
        notes.append(f"{split}: {other} tweets have other labels than in {like.name}; those of the file are taken")
    return result


def renamed(gold: Iterable[Span], types: Mapping[str, str]) -> tuple[Span, ...]:
    return tuple(replace(span, type=types.get(span.type, span.type)) for span in gold)


def tell_contexts(split: str, pairs: Sequence[Rendered], notes: list[str]) -> None:
    bare = [post.id for post, contexts in pairs if not contexts]
    if bare and len(bare) < len(pairs):
        names = ", ".join(bare[:5]) + (", …" if len(bare) > 5 else "")
        notes.append(f"{split}: {len(bare)} of {len(pairs)} tweets have no context: {names}")


def add_texts(found: ImportedDataset, pairs: Sequence[Rendered], knowledge: bool) -> None:
    """Contexts under the picture's id.

    Two posts with one picture and other contexts cannot both have theirs; neither gets any, and it is said.
    """
    for post, contexts in pairs:
        if (name := post.image_id) is None:
            continue
        line = ContextLine(image=name, knowledge=contexts) if knowledge else ContextLine(image=name, texts=contexts)
        if found.contexts.setdefault(name, line) != line:
            found.contexts[name] = ContextLine(image=name, texts=())
            found.notes.append(f"posts that share the picture {name} have other contexts; they are left out")


def write_posts(found: ImportedDataset, to: Path) -> None:
    with new_folder(to) as folder:
        write_into(found, folder)


def write_into(found: ImportedDataset, folder: Path) -> None:
    """`tweets.jsonl`, and `contexts.jsonl` where there are any."""
    lines = [post_line(post, split) for split, posts in found.splits.items() for post in posts]
    text = "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines)
    (folder / "tweets.jsonl").write_text(text, "utf-8")
    contexts = [line for line in found.contexts.values() if line.texts or line.knowledge]
    if contexts:
        (folder / CONTEXTS_FILE).write_text("".join(format_contexts(contexts)), "utf-8")


def post_line(post: Post, split: str) -> dict[str, Any]:
    line: dict[str, Any] = {"id": post.id, "split": split, "tokens": list(post.words)}
    if post.gold is not None:
        line["tags"] = encode_bio(len(post.words), post.gold)
    if post.picture is not None:
        line["image"] = post.picture.as_posix()
    elif name := post.image_id:
        line["image"] = f"{name}.jpg"
    return line


def import_dataset(source: str, to: Path, tag_names: str | None = None) -> ImportedDataset:
    """
    Raises:
        MissingError: the dataset is neither here nor on the hub.
        UsageError: it has no words or tags, or `to` is there already.
    """
    refuse_existing(to)
    found = ImportedDataset()
    with new_folder(to) as folder:
        for name, rows in load(source).items():
            split = split_name(name)
            if split in found.splits:
                raise UsageError(
                    f"{source} has several splits for {split}", "save the one that you mean as a folder"
                )
            found.splits[split] = list(posts_of(rows, split, folder, found.notes, tag_names))
        write_into(found, folder)
    return found
