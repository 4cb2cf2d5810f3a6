"""Tests of thumbnails: small, re-encoded, named by content; an unreadable picture affects no other."""

from __future__ import annotations

import base64
import io
from pathlib import Path

import pytest
from PIL import Image

from ita_pipeline.core.progress import NoProgress
from ita_pipeline.engines.base import Interrupted
from ita_pipeline.reports.thumbnails import (
    MAX_EMBEDDED,
    Pictures,
    ThumbnailStore,
)
from ita_pipeline.sources.decode import THUMBNAIL_SIDE
from ita_pipeline.sources.local import LocalFile
from ita_pipeline.sources.refs import ImageRef
from tests.support.fakes import draw, ref


def opened(source: str) -> Image.Image:
    head, _, data = source.partition(",")
    assert head == "data:image/jpeg;base64"
    return Image.open(io.BytesIO(base64.b64decode(data)))


def test_a_picture_is_made_small_upright_and_without_its_metadata():
    exif = Image.Exif()
    exif[0x0112] = 6  # lies on its side
    exif[0x010E] = "where I live"
    Image.new("RGB", (2000, 1000), "red").save("a.jpg", exif=exif)
    image = ref(Path("a.jpg"))
    thumbnail = opened(ThumbnailStore().add([image], NoProgress())[image.key].source)
    assert thumbnail.size == (THUMBNAIL_SIDE // 2, THUMBNAIL_SIDE)
    assert not thumbnail.getexif()
    assert thumbnail.format == "JPEG"


def test_what_is_no_picture_is_a_problem_and_not_an_error():
    Path("b.png").write_text("<svg onload=alert(1)>")
    good, bad = ref(draw(Path("a.png"))), ref(Path("b.png"))
    gone = ImageRef("0" * 64, LocalFile(Path("gone.png")))
    thumbnails = ThumbnailStore().add([good, bad, gone], NoProgress())
    assert thumbnails[good.key].source
    assert (thumbnails[bad.key].source, thumbnails[gone.key].source) == ("", "")
    assert "not a picture" in thumbnails[bad.key].problem
    assert "cannot be read" in thumbnails[gone.key].problem


def test_in_a_folder_they_are_named_by_content_and_made_once():
    image, copy = ref(draw(Path("a b?.png"))), ref(draw(Path("copy.png")))
    folder = Path("my #1 page_pictures")
    store = ThumbnailStore(folder)
    thumbnails = store.add([image, copy], NoProgress())
    (file,) = folder.iterdir()
    assert file.name == f"{image.key}.jpg"
    assert thumbnails[image.key].source == f"my%20%231%20page_pictures/{file.name}"
    before = file.stat().st_mtime_ns
    ThumbnailStore(folder).add([image], NoProgress())
    assert file.stat().st_mtime_ns == before


def test_those_of_an_earlier_page_go_and_other_files_stay():
    folder = Path("page_pictures")
    old, new = ref(draw(Path("a.png"))), ref(draw(Path("b.png"), "blue"))
    ThumbnailStore(folder).add([old], NoProgress())
    (folder / "mine.jpg").write_text("a person's own")
    store = ThumbnailStore(folder)
    store.add([new], NoProgress())
    assert (folder / f"{old.key}.jpg").is_file()
    store.remove_unused()
    assert {file.name for file in folder.iterdir()} == {f"{new.key}.jpg", "mine.jpg"}


@pytest.mark.parametrize(
    ("choice", "count", "kind"),
    [
        (Pictures.AUTO, MAX_EMBEDDED, "page"),
        (Pictures.AUTO, MAX_EMBEDDED + 1, "folder"),
        (Pictures.AUTO, 0, "none"),
        (Pictures.INSIDE, 9999, "page"),
        (Pictures.BESIDE, 1, "folder"),
        (Pictures.NONE, 5, "none"),
    ],
)
def test_number_and_option_choose_the_store(choice: Pictures, count: int, kind: str):
    store = ThumbnailStore.open(choice, count, Path("page.html"))
    assert (store is None) == (kind == "none")
    folder = Path("page_pictures") if kind == "folder" else None
    assert (store.folder if store else None) == folder
    assert Path("page_pictures").is_dir() == (kind == "folder")


def test_progress_can_stop_it():
    class Stopping(NoProgress):
        stop_requested = True

    with pytest.raises(Interrupted):
        ThumbnailStore().add([ref(draw(Path("a.png")))], Stopping())
