"""Thumbnails: small, re-encoded, named by content, and a bad picture costs only itself."""

from __future__ import annotations

import base64
import io
from pathlib import Path

import pytest
from PIL import Image

from ita_pipeline.core.progress import NoProgress
from ita_pipeline.engines.base import Interrupted
from ita_pipeline.reports.thumbnails import (
    MOST_INSIDE,
    SIDE,
    Beside,
    Inside,
    Nowhere,
    Pictures,
    album_for,
    make_thumbnails,
)
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
    thumbnail = opened(make_thumbnails([image], Inside(), NoProgress())[image.key].source)
    assert thumbnail.size == (SIDE // 2, SIDE)
    assert not thumbnail.getexif()
    assert thumbnail.format == "JPEG"


def test_what_is_no_picture_is_a_problem_and_not_an_error():
    Path("b.png").write_text("<svg onload=alert(1)>")
    good, bad = ref(draw(Path("a.png"))), ref(Path("b.png"))
    gone = ImageRef("0" * 64, LocalFile(Path("gone.png")))
    found = make_thumbnails([good, bad, gone], Inside(), NoProgress())
    assert found[good.key].source
    assert (found[bad.key].source, found[gone.key].source) == ("", "")
    assert "not a picture" in found[bad.key].problem
    assert "cannot be read" in found[gone.key].problem


def test_in_a_folder_they_are_named_by_content_and_made_once():
    image, copy = ref(draw(Path("a b?.png"))), ref(draw(Path("copy.png")))
    folder = Path("my #1 page_pictures")
    album = Beside(folder)
    found = make_thumbnails([image, copy], album, NoProgress())
    (file,) = folder.iterdir()
    assert file.name == f"{image.key}.jpg"
    assert found[image.key].source == f"my%20%231%20page_pictures/{file.name}"
    before = file.stat().st_mtime_ns
    make_thumbnails([image], Beside(folder), NoProgress())
    assert file.stat().st_mtime_ns == before


def test_those_of_an_earlier_page_go_and_other_files_stay():
    folder = Path("page_pictures")
    old, new = ref(draw(Path("a.png"))), ref(draw(Path("b.png"), "blue"))
    make_thumbnails([old], Beside(folder), NoProgress())
    (folder / "mine.jpg").write_text("a person's own")
    album = Beside(folder)
    make_thumbnails([new], album, NoProgress())
    assert (folder / f"{old.key}.jpg").is_file()
    album.tidy()
    assert {file.name for file in folder.iterdir()} == {f"{new.key}.jpg", "mine.jpg"}


@pytest.mark.parametrize(
    ("wish", "count", "kind"),
    [
        (Pictures.AUTO, MOST_INSIDE, Inside),
        (Pictures.AUTO, MOST_INSIDE + 1, Beside),
        (Pictures.AUTO, 0, Nowhere),
        (Pictures.INSIDE, 9999, Inside),
        (Pictures.BESIDE, 1, Beside),
        (Pictures.NONE, 5, Nowhere),
    ],
)
def test_where_they_go(wish: Pictures, count: int, kind: type):
    assert type(album_for(wish, count, Path("page.html"))) is kind
    assert Path("page_pictures").is_dir() == (kind is Beside)


def test_whoever_watches_can_stop_it():
    class Stopping(NoProgress):
        stop_requested = True

    with pytest.raises(Interrupted):
        make_thumbnails([ref(draw(Path("a.png")))], Inside(), Stopping())
