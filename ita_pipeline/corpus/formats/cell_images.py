"""Images of posts in the cells of tables: encoded bytes, or paths of files."""

from __future__ import annotations

import io
from pathlib import Path, PurePosixPath
from typing import Any

from ita_pipeline.core.errors import UsageError
from ita_pipeline.core.files import join_inside, read_regular
from ita_pipeline.core.text import clean_line
from ita_pipeline.corpus.posts import Picture
from ita_pipeline.sources.classify import is_image_name
from ita_pipeline.sources.decode import MAX_BYTES, open_header
from ita_pipeline.sources.local import join_recorded


def find_image(
    content: Any, name: str, folder: Path, paths: Path | None, root: Path | None = None
) -> Picture | None:
    """The picture of a path, or of bytes that are saved; None if they are no image.

    Paths that `datasets` recorded instead of bytes must stay in `root`, if it is given, or in the library's cache.

    Raises:
        UsageError: a path leads out of the folder.
    """
    if not isinstance(content, str):
        path = _save_image(content, name, folder, root)
        return Picture(path.as_posix(), folder / path) if path else None
    if paths is None:
        return None
    file = join_inside(paths, content)
    if file is None:
        what = f"the picture {clean_line(content)!r} is outside the folder of the file"
        raise UsageError(what, "write paths that start from the folder of the file")
    return Picture(PurePosixPath(content).as_posix(), file if file.is_file() else None)


def _save_image(content: Any, name: str, folder: Path, root: Path | None) -> Path | None:
    """Write an image's bytes to `images/`, under the name that it has in the dataset, if no other image has it.

    Returns None if they are no image. Nothing is decoded.
    """
    if not isinstance(content, dict):
        return None
    data, path = content.get("bytes"), str(content.get("path") or "")
    try:
        file = join_recorded(root, path) if root else Path(path)
        if data is None and file and file.is_file():
            data = read_regular(file, MAX_BYTES)
        if not data or len(data) > MAX_BYTES:
            return None
        with open_header(io.BytesIO(data)) as image:
            # MPO is JPEG with further images behind the first.
            suffix = "jpg" if image.format in ("JPEG", "MPO") else (image.format or "").lower()
    except Exception:  # decoders may raise any exception on damaged data
        return None
    own = PurePosixPath(path.replace("\\", "/")).name
    is_usable = is_image_name(own) and own.isprintable() and own[0] != "." and len(own.encode()) <= 200
    saved = Path("images") / (own if is_usable else f"{name}.{suffix}")
    if is_usable and (folder / saved).exists() and (folder / saved).read_bytes() != data:
        saved = saved.with_name(f"{name}.{suffix}")
    (folder / saved.parent).mkdir(exist_ok=True)
    (folder / saved).write_bytes(data)
    return saved
