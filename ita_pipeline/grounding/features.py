"""Features of a mention, by which the picture probably shows it or not, and of a mention with a box."""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass

from ita_pipeline.corpus.posts import Post, Span
from ita_pipeline.grounding.evidence import Candidate, Evidence, find_beside, fold, is_person, name_of, resemblance
from ita_pipeline.grounding.linear import Features

# Words of captions that say nothing about what is shown.
_EMPTY = frozenset({
    "a", "an", "the", "of", "in", "on", "with", "and", "at", "to", "is", "are", "for", "from", "by",
})  # fmt: skip

_PEOPLE = frozenset({
    "man", "men", "woman", "women", "boy", "boys", "girl", "girls", "people", "person", "player", "players",
    "singer", "guy", "lady", "couple", "child", "children", "kid", "kids", "group", "actor",
})  # fmt: skip

# What is known before any training: a person is shown by a box of a person, anything else by its name in writing.
BOX_PRIOR: Features = {
    "bias": -3.0,
    "person on person": 3.5,
    "person on person, share of the largest": 1.0,
    "person on person, log of their number": -1.5,
    "person on person, in order": 1.0,
    "person on person, nearest to the name": 1.5,
    "person on other": -2.0,
    "other on person": -2.0,
    "person on text": -2.0,
    "resemblance, in text": 5.0,
    "resemblance, in text, of all words": 1.5,
    "person, resemblance, in text": -2.0,
    "resemblance, in object": 2.0,
    "asked for by name": 3.0,
    "asked for by another name": -3.0,
    "score, asked for by name": 3.0,
    "score": 0.5,
    "similarity": 1.0,
}


def visible_features(post: Post, span: Span, mentions: Sequence[Span], evidence: Evidence) -> Features:
    """Features of a mention beside the other mentions of its post. Each occurs alone and with the type."""
    features: dict[str, float] = {}
    for name in (
        "bias",
        *_of_mention(post, span, mentions),
        *_of_text(post, span),
        *_of_captions(post, span, mentions, evidence),
        *_of_picture(post, span, mentions, evidence),
    ):
        features[name] = features[f"{span.type}: {name}"] = 1.0
    return features


def _of_mention(post: Post, span: Span, mentions: Sequence[Span]) -> Iterator[str]:
    same = [other for other in mentions if other.type == span.type]
    yield f"mentions of the type {min(len(same), 4)}"
    yield f"mentions {min(len(mentions), 5)}"
    yield f"first mention {span <= min(mentions, default=span)}"
    yield f"first of the type {span <= min(same, default=span)}"
    yield f"types {' '.join(sorted({other.type for other in mentions}))}"
    for other in mentions:
        if other != span:
            yield f"{'before' if other < span else 'after'} it {other.type}"
    yield f"length {min(span.end - span.start, 4)}"
    yield f"place {5 * span.start // max(len(post.words), 1)}"
    yield f"last word {span.end == len(post.words)}"
    written = " ".join(post.words[span.start : span.end])
    classes = ("X" if c.isupper() else "x" if c.islower() else "0" if c.isdigit() else c for c in written)
    shape = re.sub(r"(.)\1+", r"\1", "".join(classes))
    yield f"shape {shape[:8]}"


def _of_text(post: Post, span: Span) -> Iterator[str]:
    words = [_fold(word) for word in post.words]
    name = words[span.start : span.end]
    yield f"name {' '.join(name)}"
    yield from (f"word of the name {word}" for word in name)
    yield from (f"word {word}" for word in words[: span.start] + words[span.end :])
    padded = ["<", "<", "<", *words, ">", ">", ">"]
    for distance in (1, 2, 3):
        yield f"left {distance} {padded[span.start + 3 - distance]}"
        yield f"right {distance} {padded[span.end + 2 + distance]}"
    sign = words[span.start - 1] if span.start else ""
    yield f"behind {sign if sign in ('#', '@') else 'no sign'}"
    yield f"post of {len(words) // 6 * 6} words"
    if words[:1] == ["rt"]:
        yield f"retweet, near its beginning {span.start <= 3}"
    if any("http" in word for word in words):
        yield "link"


def _of_captions(post: Post, span: Span, mentions: Sequence[Span], evidence: Evidence) -> Iterator[str]:
    captions = [re.findall(r"\w+(?:'\w+)?", _fold(caption)) for caption in evidence.captions]
    if not captions:
        yield "no caption"
        return
    words = [word for caption in captions for word in caption]
    name = [word for word in name_of(post, span) if len(word) > 2]
    found = sum(word in words for word in name)
    yield f"words of the name in the caption {min(found, 2)}"
    yield f"name in the caption {bool(name) and found == len(name)}"
    joined = "".join(name_of(post, span))
    yield f"letters of the name in the caption {len(joined) > 2 and joined in ''.join(words)}"
    yield from (f"caption {word}" for word in dict.fromkeys(words) if word not in _EMPTY)
    pairs = (pair for caption in captions for pair in zip(caption, caption[1:], strict=False))
    yield from (f"caption {first} {second}" for first, second in dict.fromkeys(pairs))
    people, same = sum(word in _PEOPLE for word in words), sum(other.type == span.type for other in mentions)
    yield f"people in the caption {min(people, 3)}"
    yield f"mentions {min(same, 3)}, people in the caption {min(people, 2)}"


def _of_picture(post: Post, span: Span, mentions: Sequence[Span], evidence: Evidence) -> Iterator[str]:
    if evidence.size is None:
        yield "no picture"
        return
    labels = Counter(candidate.label.casefold() for candidate in evidence.objects if candidate.score >= 0.3)
    for label, count in labels.items():
        yield f"object {label}"
        yield f"objects {label} {min(count, 4)}"
    people = sum(one.is_person and one.score >= 0.3 for one in evidence.objects)
    same = sum(is_person(other.type) for other in mentions)
    yield f"people {min(people, 3)}, people named {min(same, 3)}"
    read = resemblance(name_of(post, span), [word.text for word in evidence.words])
    yield f"name in the picture {'whole' if read > 0.9 else 'partly' if read > 0.4 else 'no'}"
    yield f"words in the picture {min(len(evidence.words), 4)}"


def _fold(word: str) -> str:
    return unicodedata.normalize("NFKC", word).casefold()


@dataclass(frozen=True, slots=True)
class Name:
    """The folded words and the type of a mention; `place` is its place among `number` names of its kind, in 0..1.

    People are of one kind, whatever their types.
    """

    words: tuple[str, ...]
    type: str
    place: float = 0.5
    number: int = 1


def list_names(post: Post, spans: Sequence[Span]) -> dict[Name, list[int]]:
    """The names in a post, each with the indices of its mentions: those of the same words and type."""
    members: dict[tuple[str, tuple[str, ...]], list[int]] = {}
    for index, span in sorted(enumerate(spans), key=lambda pair: pair[1]):
        members.setdefault((span.type, name_of(post, span)), []).append(index)
    kinds = Counter(_kind(type_name) for type_name, _ in members)
    seen = Counter[str]()
    names: dict[Name, list[int]] = {}
    for (type_name, words), indices in members.items():
        kind = _kind(type_name)
        place = seen[kind] / (kinds[kind] - 1) if kinds[kind] > 1 else 0.5
        names[Name(words, type_name, place, kinds[kind])] = indices
        seen[kind] += 1
    return names


def _kind(type_name: str) -> str:
    return "person" if is_person(type_name) else type_name


def box_features(name: Name, candidates: Sequence[Candidate], evidence: Evidence) -> list[Features]:
    """Features of a name with each of the boxes that may show it."""
    alike: dict[str, list[Candidate]] = {}
    for one in candidates:
        alike.setdefault(one.label, []).append(one)
    anywhere = resemblance(name.words, [word.text for word in evidence.words])
    beside = {label: find_beside(name.words, members, evidence) for label, members in alike.items()}
    shares = {box: share for words, box, share in evidence.shares if words == name.words}
    return [
        _of_pair(name, one, alike[one.label], evidence.size or (1.0, 1.0))
        | _of_neighbors(name, one, alike[one.label], beside[one.label])
        | _of_words(name, one, anywhere)
        | (_of_query(name, one) if one.is_query and not one.is_person else {})
        | ({"similarity": shares[one.box]} if one.box in shares and not one.is_text else {})
        for one in candidates
    ]


def _pair(name: Name, candidate: Candidate) -> str:
    kind = "person" if is_person(name.type) else "other"
    return f"{kind} on {'text' if candidate.is_text else 'person' if candidate.is_person else 'other'}"


def _of_pair(
    name: Name, candidate: Candidate, alike: Sequence[Candidate], size: tuple[float, float]
) -> dict[str, float]:
    """How kind, size and place of a box fit, beside the other boxes of its label."""
    pair, area, areas = _pair(name, candidate), _area(candidate), sorted(map(_area, alike), reverse=True)
    x, y = (candidate.box[0] + candidate.box[2]) / 2 / size[0], (candidate.box[1] + candidate.box[3]) / 2 / size[1]
    return {
        "bias": 1.0,
        pair: 1.0,
        # As many boxes as there are names may be right, so that sizes tell nothing among the largest of them.
        f"{pair}, share of the largest": min(area / areas[min(name.number, len(areas)) - 1], 1.0),
        f"{pair}, log of their number": max(_log2(len(alike)) - _log2(name.number), 0.0),
        f"{pair}, share of the picture": min(area / (size[0] * size[1]), 1.0) ** 0.5,
        f"{pair}, from the middle": abs(x - 0.5) + abs(y - 0.5),
        f"{pair}, score": candidate.score,
        "score": candidate.score,
        f"{name.type} on {candidate.label.casefold()}": 1.0,
    }


def _of_neighbors(
    name: Name, candidate: Candidate, alike: Sequence[Candidate], beside: Collection[Candidate]
) -> dict[str, float]:
    """Which of several boxes is nearest to the name, or if the name was not read, in the order of the names."""
    pair = _pair(name, candidate)
    if beside:
        return {f"{pair}, nearest to the name": 1.0 if candidate in beside else -1.0}
    if len(alike) == 1 or name.number == 1:
        return {}
    # Names are often in the order of what they name, from the left.
    ahead = sum(other.box[0] < candidate.box[0] for other in alike) / (len(alike) - 1)
    return {f"{pair}, in order": 1 - abs(name.place - ahead)}


def _of_words(name: Name, candidate: Candidate, anywhere: float) -> dict[str, float]:
    """How well the words in a box resemble the name."""
    pair, read = _pair(name, candidate), resemblance(name.words, candidate.words)
    features = {f"{pair}, name elsewhere": anywhere - read}
    if read:
        place = "text" if candidate.is_text else "object"
        features[f"resemblance, in {place}"] = read
        features[f"{pair.partition(' ')[0]}, resemblance, in {place}"] = read
        if candidate.is_text:
            read_words = tuple(filter(None, map(fold, candidate.words)))
            features["resemblance, in text, of all words"] = resemblance(read_words, name.words)
    return features


def _of_query(name: Name, candidate: Candidate) -> dict[str, float]:
    """Whether a detector was asked for this name, or for another one."""
    if fold(candidate.label) != "".join(name.words):
        return {"asked for by another name": 1.0}
    return {"asked for by name": 1.0, "score, asked for by name": candidate.score}


def _area(candidate: Candidate) -> float:
    x0, y0, x1, y1 = candidate.box
    return max((x1 - x0) * (y1 - y0), 1.0)


def _log2(number: int) -> float:
    return float(number.bit_length() - 1)
