"""Names of columns by which tables, lists and datasets are read; the first name that is present counts."""

from __future__ import annotations

IMAGE_COLUMNS = ("image", "img", "picture")

# Columns that hold several images of a row.
IMAGE_LIST_COLUMNS = ("images",)

# Columns of a table that hold the bytes of images.
IMAGE_BYTES_COLUMNS = (*IMAGE_COLUMNS, "jpg", "png", "webp", "bytes", "content", "data")

# Columns of a list that hold paths or addresses of images.
IMAGE_PATH_COLUMNS = ("image", "path", "file", "file_name", "image_path", "url", "image_url")

WORD_COLUMNS = ("tokens", "words")

TAG_COLUMNS = ("ner_tags", "tags", "labels", "label", "ner")

ID_COLUMNS = ("id", "tweet_id", "image_id", "img_id")

# Columns that make a line of JSON a post rather than an entry of a list of images.
POST_COLUMNS = ("text", "tokens")
