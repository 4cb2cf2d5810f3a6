"""Tweets with their contexts in one file, as ITA, MoRe, PGIM and AdaSeq keep them: a word and its tag a line, and
behind the tweet each context after a line `<EOS>`, its words tagged `B-X` (ITA), `S-X` (its IOBES form) or `X`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from ita_pipeline.corpus.formats.conll import (
    CONTEXT_TAGS,
    ColumnLayout,
    TaggedSentence,
    encode_bio,
    parse_sentences,
    read_text,
)
from ita_pipeline.corpus.line_errors import LineError, LineErrorKind
from ita_pipeline.corpus.posts import Post

EOS = "<EOS>"

REPLACEMENT = "\ufffd"


class ExportForm(StrEnum):
    """Which project reads it: KB-NER, the code of ITA, or AdaSeq."""

    ITA = "ita"
    ADASEQ = "adaseq"

    @property
    def mark(self) -> str:
        return "B-X" if self is ExportForm.ITA else "X"


@dataclass(frozen=True, slots=True)
class ContextedTweet:
    """A tweet taken apart from its contexts. `tags` is None where no word has one."""

    words: tuple[str, ...]
    tags: tuple[str, ...] | None
    contexts: tuple[str, ...]
    image_id: str | None = None


def read_contexted_tweets(path: Path) -> list[ContextedTweet]:
    """The tweets of a file, with or without contexts.

    Raises:
        MissingError: the file cannot be read.
        UsageError: a line is neither a word nor a word and a tag; says which.
    """
    return [
        split_contexts(sentence, path)
        for sentence in parse_sentences(read_text(path), path, layout=ColumnLayout(contexts=True))
    ]


def split_contexts(sentence: TaggedSentence, path: Path) -> ContextedTweet:
    """Every word from the first `<EOS>`, or the first word tagged as a context, belongs to the contexts."""
    words, tags = sentence.words, sentence.tags
    starts = (place for place, word in enumerate(words) if word == EOS or tags[place] in CONTEXT_TAGS)
    end = next(starts, len(words))
    for place in range(end, len(words)):
        if tags[place] not in CONTEXT_TAGS and tags[place] not in ("", "O"):
            reason = f"{tags[place]!r} stands behind the beginning of a context"
            raise LineError(
                LineErrorKind.BAD_TAG, str(path), sentence.lines[place], reason, "a context has the tag X or O"
            )
    labelled = all(tags[:end])
    return ContextedTweet(
        tuple(escape_word(word) for word in words[:end]),
        tuple(tags[:end]) if labelled else None,
        tuple(contexts_of(words[end:])),
        sentence.image_id,
    )


def contexts_of(words: Sequence[str]) -> Iterator[str]:
    context: list[str] = []
    for word in [*words, EOS]:
        if word != EOS:
            context.append(word)
        elif context:
            yield " ".join(context)
            context = []


def format_contexted_tweets(posts: Iterable[tuple[Post, Sequence[str]]], mark: str) -> str:
    """Posts with their contexts, a blank line behind each; `mark` tags the words of contexts.

    A post without labels gets O for every word, since the readers want a tag. A post without words is left out.
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
    """A word as a column: white space inside it would end it, and `<EOS>` would begin a context."""
    if word == EOS:
        return "EOS"
    return re.sub(r"\s+", "_", word.strip()) or REPLACEMENT
