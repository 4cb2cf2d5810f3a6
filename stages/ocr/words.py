"""Merge the words of two readings of one place, and put words into reading order."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from stages.ocr.schema import Box, Word

# Factor of the confidence of a word that only one of two readings has.
UNCONFIRMED = 0.8

# Two words of different readings are in one place if this share of the narrower one overlaps horizontally.
MIN_HORIZONTAL_OVERLAP = 0.5

# Of two words that overlap by this share of the smaller one, one is misread.
MIN_AREA_OVERLAP = 0.5


def merge_readings(first: Sequence[Word], second: Sequence[Word]) -> list[Word]:
    """Merge two readings of a line. A word in both is likelier than each reading's confidence."""
    unmatched = list(second)
    words: list[Word] = []
    for word in first:
        match = next((other for other in unmatched if _is_same_word(word, other)), None)
        if match is None:
            words.append(_with_confidence(word, UNCONFIRMED * word.confidence))
        else:
            unmatched.remove(match)
            words.append(_with_confidence(word, 1 - (1 - word.confidence) * (1 - match.confidence)))
    words += [_with_confidence(word, UNCONFIRMED * word.confidence) for word in unmatched]
    # In the direction, left to right or right to left, of the first reading that has words.
    reading = first or second
    is_backwards = bool(reading) and reading[0].box[0] > reading[-1].box[0]
    return sorted(words, key=lambda word: word.box[0], reverse=is_backwards)


def drop_overlapping(words: Iterable[Word]) -> list[Word]:
    """Keep the word of highest confidence of each group of overlapping words, in the given order."""
    candidates = list(words)
    kept: list[int] = []
    for number in sorted(range(len(candidates)), key=lambda number: -candidates[number].confidence):
        box = candidates[number].box
        if all(_overlap(box, candidates[other].box) < MIN_AREA_OVERLAP for other in kept):
            kept.append(number)
    return [candidates[number] for number in sorted(kept)]


def sort_for_reading(words: Iterable[Word]) -> list[Word]:
    """Sort lines from top to bottom, and lines side by side from left to right; sparse page modes have no order."""
    lines: dict[int, list[Word]] = {}
    for word in words:
        lines.setdefault(word.line, []).append(word)

    rows: list[list[list[Word]]] = []
    for line in sorted(lines.values(), key=lambda line: _vertical_extent(line)[0]):
        top, bottom = _vertical_extent(line)
        row_top, row_bottom = _vertical_extent(rows[-1][0]) if rows else (0, -1)
        if rows and row_top <= (top + bottom) / 2 <= row_bottom:
            rows[-1].append(line)
        else:
            rows.append([line])
    ordered = [line for row in rows for line in sorted(row, key=lambda line: line[0].box[0])]
    return [word.model_copy(update={"line": number}) for number, line in enumerate(ordered) for word in line]


def _is_same_word(word: Word, other: Word) -> bool:
    if _normalize(word.text) != _normalize(other.text):
        return False
    overlap = min(word.box[2], other.box[2]) - max(word.box[0], other.box[0])
    return overlap > MIN_HORIZONTAL_OVERLAP * min(word.box[2] - word.box[0], other.box[2] - other.box[0])


def _normalize(text: str) -> str:
    """Return the letters and digits of a text in lower case, or all characters if it has none."""
    folded = text.casefold()
    return "".join(character for character in folded if character.isalnum()) or folded


def _with_confidence(word: Word, confidence: float) -> Word:
    return word.model_copy(update={"confidence": round(confidence, 4)})


def _overlap(box: Box, other: Box) -> float:
    """Return the intersection of two boxes as a share of the smaller one."""
    width = min(box[2], other[2]) - max(box[0], other[0])
    height = min(box[3], other[3]) - max(box[1], other[1])
    smaller = min((side[2] - side[0]) * (side[3] - side[1]) for side in (box, other))
    return max(0, width) * max(0, height) / max(1, smaller)


def _vertical_extent(line: Sequence[Word]) -> tuple[int, int]:
    """Return the top and bottom of a line in pixels."""
    return min(word.box[1] for word in line), max(word.box[3] for word in line)
