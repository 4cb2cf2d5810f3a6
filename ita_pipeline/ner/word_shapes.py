"""Word shapes: what the capitals, digits and signs of a word say, for encoders whose tokenizer drops capitals.

An uncased encoder cannot see which words of a tweet are written as names are. A shape is a small number, one for
each word, which the tagger turns into a vector and adds to the word's sub-tokens before the encoder reads them, as
positions and segments are added. (Collobert et al. 2011 give their tagger a "caps" feature beside the word alike.)
"""

from __future__ import annotations

from enum import IntEnum
from typing import Any


class Shape(IntEnum):
    """How a word is written. `NONE` is for what is no word: padding and special tokens."""

    NONE = 0
    LOWER = 1
    TITLE = 2
    UPPER = 3
    INITIAL = 4
    MIXED = 5
    CASELESS = 6
    NUMBER = 7
    LOWER_DIGITS = 8
    UPPER_DIGITS = 9
    HASHTAG = 10
    HASHTAG_CAPITALS = 11
    USER = 12
    USER_CAPITALS = 13
    LINK = 14
    SIGNS = 15


def shape_of(word: str) -> Shape:
    """The shape of a word; signs around it, such as quotes, do not count."""
    if word.lower().startswith(("http://", "https://", "www.")):
        return Shape.LINK
    letters = [character for character in word if character.isalpha()]
    capitals = sum(character.isupper() or character.istitle() for character in letters)
    if len(word) > 1 and word[0] in "#@" and (letters or word[1:].isalnum()):
        plain, capital = (
            (Shape.HASHTAG, Shape.HASHTAG_CAPITALS) if word[0] == "#" else (Shape.USER, Shape.USER_CAPITALS)
        )
        return capital if capitals else plain
    digits = any(character.isdigit() for character in word)
    if not letters:
        return Shape.NUMBER if digits else Shape.SIGNS
    if digits:
        return Shape.UPPER_DIGITS if capitals else Shape.LOWER_DIGITS
    if not capitals:
        return Shape.LOWER if any(character.islower() for character in letters) else Shape.CASELESS
    if capitals == len(letters):
        return Shape.INITIAL if len(letters) == 1 else Shape.UPPER
    first = letters[0].isupper() or letters[0].istitle()
    return Shape.TITLE if first and capitals == 1 else Shape.MIXED


def drops_capitals(tokenizer: Any) -> bool:
    """Whether a tokenizer reads `PARIS`, `Paris` and `paris` as the same."""
    paris = tokenizer(["PARIS", "Paris", "paris"], add_special_tokens=False)["input_ids"]
    return paris[0] == paris[1] == paris[2]
