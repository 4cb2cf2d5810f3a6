"""Names of columns by which tables, lists and datasets are read; the first name that is present counts."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from ita_pipeline.core.errors import UsageError, nearest
from ita_pipeline.core.text import clean_line

IMAGE_COLUMNS = ("image", "img", "picture")

# Columns that hold several images of a row.
IMAGE_LIST_COLUMNS = ("images",)

# Columns of a table that hold the bytes of images.
IMAGE_BYTES_COLUMNS = (*IMAGE_COLUMNS, "jpg", "png", "webp", "bytes", "content", "data")

# Columns of a list that hold paths or addresses of images.
IMAGE_PATH_COLUMNS = ("image", "path", "file", "file_name", "image_path", "url", "image_url")

WORD_COLUMNS = ("tokens", "words")

TEXT_COLUMNS = ("text", "tweet", "sentence", "content")

TAG_COLUMNS = ("ner_tags", "tags", "labels", "label", "ner")

ID_COLUMNS = ("id", "tweet_id", "image_id", "img_id")

# Columns that make a line of JSON a post rather than an entry of a list of images.
POST_COLUMNS = ("text", "tokens")


def find_column(columns: Collection[str], known: Sequence[str], given: str | None = None) -> str | None:
    """Find the column that is given, or else the first known one, in capitals or not; None if there is none.

    Raises:
        UsageError: the given column does not exist.
    """
    if given is not None:
        if given not in columns:
            existing = ", ".join(map(clean_line, columns))
            raise UsageError(f"there is no column {given}; the columns are {existing}", nearest(given, columns))
        return given
    lower = {name.lower(): name for name in reversed(list(columns))}
    return next((name if name in columns else lower[name] for name in known if name in lower), None)
