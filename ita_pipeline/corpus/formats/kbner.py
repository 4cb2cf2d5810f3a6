"""Tweets and their contexts in one file, as ITA, MoRe, PGIM and AdaSeq store them.

Each line is a word and its tag. After the tweet, each context follows a line `<EOS>`; its words have the tag `B-X`
(ITA), `S-X` (ITA's IOBES form) or `X`.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from ita_pipeline.core.text import format_count
from ita_pipeline.corpus.findings import FindingKind
from ita_pipeline.corpus.formats.conll import DOCUMENT, REPLACEMENT, TaggedSentence, read_sentences
from ita_pipeline.corpus.formats.schemes import CONTEXT_TAGS, encode_bio
from ita_pipeline.corpus.line_errors import LineError
from ita_pipeline.corpus.posts import Post, PostWithContexts, select_taggable
from stages.picture_names import shorten_names

EOS = "<EOS>"


# The tags of a context's words.
KBNER_MARK, ADASEQ_MARK = "B-X", "X"


@dataclass(frozen=True, slots=True)
class ContextedTweet:
    """A tweet separated from its contexts. `tags` is None if a word has no tag."""

    words: tuple[str, ...]
    tags: tuple[str, ...] | None
    contexts: tuple[str, ...]
    image_id: str | None = None


def read_contexted_tweets(path: Path) -> list[ContextedTweet]:
    """Read the tweets of a file, with or without contexts.

    Raises:
        MissingError: the file cannot be read.
        UsageError: a line is neither a word nor a word and a tag.
    """
    return [_split_contexts(sentence, path) for sentence in read_sentences(path, contexts=True)]


def _split_contexts(sentence: TaggedSentence, path: Path) -> ContextedTweet:
    """Every word from the first `<EOS>`, or the first word tagged as a context, belongs to the contexts."""
    words, tags = sentence.words, sentence.tags
    starts = (i for i, word in enumerate(words) if word == EOS or tags[i] in CONTEXT_TAGS)
    end = next(starts, len(words))
    for position in range(end, len(words)):
        if tags[position] not in (*CONTEXT_TAGS, "", "O"):
            reason = f"{tags[position]!r} stands behind the beginning of a context"
            hint = "a context has the tag X or O"
            raise LineError(FindingKind.BAD_TAG, str(path), sentence.lines[position], reason, hint)
    parts = itertools.groupby(words[end:], lambda word: word == EOS)
    return ContextedTweet(
        tuple(escape_word(word) for word in words[:end]),
        tuple(tags[:end]) if all(tags[:end]) else None,
        tuple(" ".join(context) for is_end, context in parts if not is_end),
        sentence.image_id,
    )


def format_contexted_tweets(posts: Iterable[PostWithContexts], mark: str) -> str:
    """Format posts with their contexts, a blank line after each. `mark` tags the words of contexts.

    The words of an unlabeled post get the tag O, since the readers require a tag. Posts without words are left out.
    """
    blocks = []
    for post, contexts in posts:
        tags = encode_bio(len(post.words), post.gold or ())
        lines = [f"{escape_word(word)} {tag}" for word, tag in zip(post.words, tags, strict=True)]
        for context in contexts:
            lines += [f"{word} {mark}" for word in (EOS, *map(escape_word, context.split()))]
        if post.words:
            blocks.append("\n".join(lines) + "\n\n")
    return "".join(blocks)


def escape_word(word: str) -> str:
    """Replace white space, which would end the word's column, and marks that would start a context or document."""
    if word in (EOS, DOCUMENT):
        return word.strip("<>-")
    return re.sub(r"\s+", "_", word.strip()) or REPLACEMENT


def write_kbner(folder: Path, name: str, splits: Mapping[str, Sequence[PostWithContexts]]) -> list[Path]:
    """Write the files of each split for KB-NER, ITA's code. Returns their paths."""
    ids = shorten_names(picture.name for pairs in splits.values() for post, _ in pairs for picture in post.pictures)
    files: dict[Path, str] = {}
    for split, pairs in splits.items():
        names = (post.pictures[0].name if post.pictures else "" for post, _ in pairs)
        bare = [(post, ()) for post, _ in pairs]
        files[folder / name / f"{split}.txt"] = format_contexted_tweets(bare, KBNER_MARK)
        files[folder / f"{name}_doc" / f"{split}.txt"] = format_contexted_tweets(pairs, KBNER_MARK)
        files[folder / "img" / f"{split}.txt"] = "".join(f"{ids.get(name, '')}\n" for name in names)
    return _write_files(files)


def write_adaseq(folder: Path, splits: Mapping[str, Sequence[PostWithContexts]]) -> list[Path]:
    """Write the file of each split for AdaSeq. Returns their paths."""
    pairs_by_file = {folder / f"{split}.txt": pairs for split, pairs in splits.items()}
    return _write_files(
        {file: format_contexted_tweets(pairs, ADASEQ_MARK) for file, pairs in pairs_by_file.items()}
    )


def _write_files(files: Mapping[Path, str]) -> list[Path]:
    for path, text in files.items():
        path.parent.mkdir(exist_ok=True)
        path.write_text(text, "utf-8")
    return list(files)


def describe_changes(posts: Sequence[Post], splits: Mapping[str, Sequence[PostWithContexts]]) -> Iterator[str]:
    """Notes about `posts` that are left out of `splits`, written differently, or have no context."""
    pairs = [pair for split in splits.values() for pair in split]
    left_out = len(posts) - len(pairs)
    unlabeled = sum(post.gold is None for post, _ in pairs)
    escaped = sum(word != escape_word(word) for post, _ in pairs for word in post.words)
    lost = sum(len(set(post.gold or ())) - len(select_taggable(post.gold or ())) for post, _ in pairs)
    without_context = sum(not contexts for _, contexts in pairs)
    if left_out:
        yield f"left out {format_count(left_out, 'post')} without words"
    if unlabeled:
        yield f"{unlabeled} posts have no labels; each of their words is written as O, since the readers want a tag"
    if lost:
        yield f"{lost} mentions begin or end inside a word, or overlap another; tags cannot express them"
    if escaped:
        yield f"{escaped} words hold white space or are <EOS>; they are written with _ or as EOS"
    if without_context:
        yield f"without a context: {without_context} of {format_count(len(pairs), 'post')}"
