"""Word shapes: the capitals, digits and signs of a word, for encoders whose tokenizer drops capitals.

An uncased encoder cannot tell which words of a tweet are capitalized. The tagger embeds the shape of each word and
adds the vector to the word's sub-tokens before the encoder reads them, as positions and segments are added.
(Collobert et al. 2011 give their tagger a "caps" feature for each word.)
"""

from __future__ import annotations

from enum import IntEnum
from typing import Any


class WordShape(IntEnum):
    """How a word is written. `NONE` is the shape of padding and special tokens."""

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


def classify_word(word: str) -> WordShape:
    """The shape of a word. Signs around it, such as quotes, do not count."""
    if word.lower().startswith(("http://", "https://", "www.")):
        return WordShape.LINK
    letters = [character for character in word if character.isalpha()]
    capitals = sum(character.isupper() or character.istitle() for character in letters)
    if len(word) > 1 and word[0] in "#@" and (letters or word[1:].isalnum()):
        if word[0] == "#":
            return WordShape.HASHTAG_CAPITALS if capitals else WordShape.HASHTAG
        return WordShape.USER_CAPITALS if capitals else WordShape.USER
    digits = any(character.isdigit() for character in word)
    if not letters:
        return WordShape.NUMBER if digits else WordShape.SIGNS
    if digits:
        return WordShape.UPPER_DIGITS if capitals else WordShape.LOWER_DIGITS
    if not capitals:
        return WordShape.LOWER if any(character.islower() for character in letters) else WordShape.CASELESS
    if capitals == len(letters):
        return WordShape.INITIAL if len(letters) == 1 else WordShape.UPPER
    first = letters[0].isupper() or letters[0].istitle()
    return WordShape.TITLE if first and capitals == 1 else WordShape.MIXED


def is_uncased(tokenizer: Any) -> bool:
    """Whether a tokenizer gives `PARIS`, `Paris` and `paris` the same ids."""
    paris = tokenizer(["PARIS", "Paris", "paris"], add_special_tokens=False)["input_ids"]
    return paris[0] == paris[1] == paris[2]
