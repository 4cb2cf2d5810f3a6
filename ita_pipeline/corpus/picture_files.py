"""Picture files of a dataset, found by the patterns of its card, whatever their endings and form of letters."""

from __future__ import annotations

import bisect
import fnmatch
import glob
import re
import unicodedata
from dataclasses import dataclass, field, replace
from pathlib import Path

from ita_pipeline.corpus.posts import Picture, Post
from ita_pipeline.sources.classify import is_image_name
from stages.picture_names import strip_image_suffix


@dataclass(frozen=True)
class PictureFiles:
    """Files below `folder`. `patterns` have `{id}`, and perhaps `*`; the first one that has a file counts."""

    folder: Path
    patterns: tuple[str, ...] = ()
    listings: dict[Path, list[tuple[str, str]]] = field(default_factory=dict)

    def complete(self, post: Post) -> Post:
        """The post with its image files: those that its line names, else those that the patterns match."""
        pictures: list[Picture] = []
        for picture in post.pictures:
            pictures += [self._existing(picture)] if picture.file else self._match(picture.name) or [picture]
        return replace(post, pictures=tuple(pictures))

    def _existing(self, picture: Picture) -> Picture:
        """The picture with its file in the form of letters (NFC or NFD) that it has on disk, or without one."""
        assert picture.file is not None
        if picture.file.is_file():
            return picture
        same = [Path(name) for key, name in self._list(picture.file.parent) if key == _compose(picture.file.name)]
        return replace(picture, file=picture.file.with_name(same[0].name) if same else None)

    def _match(self, name: str) -> list[Picture]:
        for pattern in self.patterns:
            file = self.folder / pattern.replace("{id}", name)
            if file.is_file():
                return [Picture(name, file)]
            parent, _, last = pattern.rpartition("/")
            folder = parent.replace("{id}", name)
            names = self._match_names(self.folder / folder, last.replace("{id}", glob.escape(name)))
            if glob.has_magic(pattern):
                above = re.sub(r"^(\.\./)+", "", f"{folder}/" if folder else "")
                found = [Picture(f"{above}{one}", self.folder / folder / one) for one in names]
            else:
                found = [Picture(name, self.folder / folder / one) for one in names[:1]]
            if found:
                return found
        return []

    def _match_names(self, folder: Path, pattern: str) -> list[str]:
        """The names of image files in a folder that match, whatever their ending."""
        stem = _compose(strip_image_suffix(pattern))
        start = re.split(r"[*?[]", stem, maxsplit=1)[0]
        names = self._list(folder)
        first = bisect.bisect_left(names, (start, ""))
        found: list[str] = []
        for key, name in names[first:]:
            if not key.startswith(start):
                break
            if is_image_name(name) and fnmatch.fnmatchcase(strip_image_suffix(key), stem):
                found.append(name)
        return found

    def _list(self, folder: Path) -> list[tuple[str, str]]:
        """The names of a folder's files, each after the name in composed letters, in the order of the latter."""
        if folder not in self.listings:
            names = [path.name for path in folder.iterdir() if path.is_file()] if folder.is_dir() else []
            self.listings[folder] = sorted((_compose(name), name) for name in names)
        return self.listings[folder]


def _compose(name: str) -> str:
    return unicodedata.normalize("NFC", name)
