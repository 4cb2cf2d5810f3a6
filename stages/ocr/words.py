"""Words that were read, and what to make of two readings of the same place."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from stages.ocr.schema import Word
from stages.ocr.text_regions import Box

# A word that only one of two readings has is believed less.
ALONE = 0.8

# Of the shorter one: words of two readings that cover each other so far sideways stand in one place.
SAME_PLACE = 0.5

# Of the smaller one: of two words that cover each other so far, one was misread.
COVERED = 0.5


def agreed(first: Sequence[Word], second: Sequence[Word]) -> list[Word]:
    """One list out of two readings of a line: what both say is likelier than either alone believes."""
    left = list(second)
    words: list[Word] = []
    for word in first:
        same = next((other for other in left if is_same(word, other)), None)
        if same is None:
            words.append(rated(word, ALONE * word.confidence))
        else:
            left.remove(same)
            words.append(rated(word, 1 - (1 - word.confidence) * (1 - same.confidence)))
    return along([*words, *(rated(word, ALONE * word.confidence) for word in left)], first or second)


def along(words: Sequence[Word], reading: Sequence[Word]) -> list[Word]:
    """Words of a line one after the other, from right to left if `reading` runs so."""
    backwards = bool(reading) and reading[0].box[0] > reading[-1].box[0]
    return sorted(words, key=lambda word: word.box[0], reverse=backwards)


def is_same(one: Word, other: Word) -> bool:
    if bare(one.text) != bare(other.text):
        return False
    across = min(one.box[2], other.box[2]) - max(one.box[0], other.box[0])
    return across > SAME_PLACE * min(one.box[2] - one.box[0], other.box[2] - other.box[0])


def bare(text: str) -> str:
    """Lower case, letters and digits only, where there are any."""
    folded = text.casefold()
    return "".join(character for character in folded if character.isalnum()) or folded


def rated(word: Word, confidence: float) -> Word:
    return word.model_copy(update={"confidence": round(confidence, 4)})


def strongest(words: Iterable[Word]) -> list[Word]:
    """Of words that cover each other the one of the highest confidence, in the order given."""
    all_words = list(words)
    kept: list[int] = []
    for place in sorted(range(len(all_words)), key=lambda place: -all_words[place].confidence):
        if all(covered(all_words[place].box, all_words[other].box) < COVERED for other in kept):
            kept.append(place)
    return [all_words[place] for place in sorted(kept)]


def covered(one: Box, other: Box) -> float:
    """How much of the smaller box lies in the larger one."""
    across = min(one[2], other[2]) - max(one[0], other[0])
    down = min(one[3], other[3]) - max(one[1], other[1])
    smaller = min((box[2] - box[0]) * (box[3] - box[1]) for box in (one, other))
    return max(0, across) * max(0, down) / max(1, smaller)


def sorted_for_reading(words: Iterable[Word]) -> list[Word]:
    """Lines from top to bottom, side by side from left to right: sparse page modes promise no order."""
    lines: dict[int, list[Word]] = {}
    for word in words:
        lines.setdefault(word.line, []).append(word)

    rows: list[list[list[Word]]] = []
    for line in sorted(lines.values(), key=lambda line: extent(line)[0]):
        top, bottom = extent(line)
        beside = bool(rows) and extent(rows[-1][0])[0] <= (top + bottom) / 2 <= extent(rows[-1][0])[1]
        if beside:
            rows[-1].append(line)
        else:
            rows.append([line])
    ordered = [line for row in rows for line in sorted(row, key=lambda line: line[0].box[0])]
    return [word.model_copy(update={"line": index}) for index, line in enumerate(ordered) for word in line]


def extent(line: Sequence[Word]) -> tuple[int, int]:
    """Top and bottom of a line, in pixels."""
    return min(word.box[1] for word in line), max(word.box[3] for word in line)
