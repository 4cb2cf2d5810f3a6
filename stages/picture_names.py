"""Names of pictures: which name in one file stands for which picture in another.

A name is a path or a part of one: `train/1.jpg`, `1.jpg` or `1`. Two names agree if they are equal as far as both
have folders and an ending.
"""

from __future__ import annotations

import unicodedata
from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import PurePosixPath

from stages.base import IMAGE_SUFFIXES


def normalize_name(name: str) -> str:
    """Return a name with `/` between folders, and with composed letters (NFC), as most systems write them."""
    return str(PurePosixPath(unicodedata.normalize("NFC", name.strip().replace("\\", "/"))))


def strip_image_suffix(name: str) -> str:
    """Return a name without the ending of an image file."""
    path = PurePosixPath(name)
    return name[: -len(path.suffix)] if path.suffix.lower() in IMAGE_SUFFIXES else name


def stem_of(name: str) -> str:
    """Return a name without folders and the ending of an image file."""
    return strip_image_suffix(PurePosixPath(name).name)


def match_names(pictures: Iterable[str], keys: Iterable[str]) -> dict[str, str]:
    """Find the key of each picture: the one that agrees most, else the only one with the same stem.

    A picture that no key stands for is left out.

    Raises:
        ValueError: a key stands for two pictures, or a picture has two keys; the message names both.
    """
    pictures, original_keys = list(pictures), {normalize_name(key): key for key in keys}
    keys_by_stem = _group_by_stem(original_keys)
    matches: dict[str, str] = {}
    for stem, same_stem in _group_by_stem(map(normalize_name, pictures)).items():
        candidates = keys_by_stem.get(stem, [])
        if len(same_stem) == len(candidates) == 1:
            matches[same_stem[0].text] = candidates[0].text
            continue
        claims: dict[str, list[tuple[_Closeness, str]]] = defaultdict(list)
        for picture in same_stem:
            found = [(picture.closeness(key), key.text) for key in candidates if picture.agrees(key)]
            if best := _only_best(found, f"the picture {picture.text}"):
                claims[best[1]].append((best[0], picture.text))
        for key, claim in claims.items():
            if best := _only_best(claim, key):
                matches[best[1]] = key
    names = ((picture, normalize_name(picture)) for picture in pictures)
    return {picture: original_keys[matches[name]] for picture, name in names if name in matches}


def shorten_names(names: Iterable[str]) -> dict[str, str]:
    """Return each name's stem, or the name itself where another name has the same stem."""
    names = list(names)
    counts = Counter(map(stem_of, dict.fromkeys(names)))
    return {name: stem_of(name) if counts[stem_of(name)] == 1 else name for name in names}


_Closeness = tuple[int, bool, bool, bool]


@dataclass(frozen=True, slots=True)
class _Name:
    """A name in its parts."""

    text: str
    stem: str
    suffix: str
    folders: tuple[str, ...]

    @classmethod
    def parse(cls, text: str) -> _Name:
        path = PurePosixPath(text)
        stem = strip_image_suffix(path.name)
        folders = tuple(part for part in path.parts[:-1] if part not in ("..", "/"))
        return cls(text, stem, path.name[len(stem) :].lower(), folders)

    def agrees(self, other: _Name) -> bool:
        depth = self._common_depth(other)
        same_suffix = self.suffix == other.suffix or not (self.suffix and other.suffix)
        return same_suffix and self._last_folders(depth) == other._last_folders(depth)

    def closeness(self, other: _Name) -> _Closeness:
        """How much an agreeing name has in common: folders, the ending, the top folder, and capitals."""
        same_top = len(self.folders) == len(other.folders)
        return self._common_depth(other), self.suffix == other.suffix, same_top, self.text == other.text

    def _common_depth(self, other: _Name) -> int:
        return min(len(self.folders), len(other.folders))

    def _last_folders(self, count: int) -> tuple[str, ...]:
        return self.folders[len(self.folders) - count :]


def _group_by_stem(names: Iterable[str]) -> dict[str, list[_Name]]:
    """Group names that are normalized."""
    groups: dict[str, list[_Name]] = defaultdict(list)
    for name in map(_Name.parse, dict.fromkeys(names)):
        groups[name.stem].append(name)
    return groups


def _only_best(found: list[tuple[_Closeness, str]], what: str) -> tuple[_Closeness, str] | None:
    """Return the closest name, or None if there is none.

    Raises:
        ValueError: two are equally close.
    """
    ranked = sorted(found, key=lambda entry: entry[0], reverse=True)
    if len(ranked) > 1 and ranked[0][0] == ranked[1][0]:
        raise ValueError(f"{what} may be {ranked[0][1]} or {ranked[1][1]}")
    return ranked[0] if ranked else None
