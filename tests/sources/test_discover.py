"""Tests through the commands: images in a folder, an archive, a list and elsewhere have the same records."""

from __future__ import annotations

import json
import os
import tarfile
from pathlib import Path, PurePosixPath

import fsspec
import pytest
from PIL import Image

from ita_pipeline.api.extract import plan_extraction
from ita_pipeline.core.errors import MissingError
from ita_pipeline.core.progress import NoProgress
from ita_pipeline.engines.base import Interrupted
from ita_pipeline.extraction.options import Options
from ita_pipeline.sources.decode import open_image
from ita_pipeline.sources.discover import discover, find_image, list_folder
from ita_pipeline.sources.refs import Unreadable
from tests.support.fakes import draw, ita_here, ref
from tests.support.hostile import encoded
from tests.support.ocr_runs import OCR, counts, extract
from tests.support.picture_server import serving

COLOURS = ("red", "green", "blue", "white")


@pytest.fixture
def pictures() -> list[Path]:
    return [draw(Path(f"images/{colour}.png"), colour) for colour in COLOURS]


def pack(path: str, files: list[Path], name: str = "{}") -> Path:
    with tarfile.open(path, "w") as made:
        for file in files:
            made.add(file, name.format(file.name))
    return Path(path)


def test_a_folder_lists_all_image_formats_and_other_files(tmp_path: Path):
    for name in ("a.JPG", "b.jpeg", "deep/er/c.png", "d.webp", "e.gif", "f.bmp", "g.tif"):
        draw(tmp_path / name)
    for name in ("notes.txt", "deep/x.mp4", "noending"):
        (tmp_path / name).write_text("")
    (tmp_path / ".hidden.jpg").write_text("")
    (tmp_path / "deep" / "loop").symlink_to(tmp_path)
    listing = list_folder(tmp_path)
    assert [file.name for file in listing.images] == [
        "a.JPG",
        "b.jpeg",
        "d.webp",
        "e.gif",
        "f.bmp",
        "g.tif",
        "c.png",
    ]
    assert sorted(path.name for path in listing.others) == ["noending", "notes.txt", "x.mp4"]
    assert all(open_image(ref(tmp_path / file.label)).size == (64, 48) for file in listing.images)


def test_linked_folders_are_followed_once_and_never_upwards(tmp_path: Path):
    root = tmp_path / "set"
    draw(root / "a" / "1.png")
    draw(tmp_path / "real" / "deep" / "2.png", "red")
    draw(tmp_path / "3.png", "blue")
    (root / "images").symlink_to("../real")
    (root / "again").symlink_to("a")
    (tmp_path / "real" / "deep" / "loop").symlink_to("..")
    for name, target in (("up", ".."), ("top", "/"), ("gone", "nowhere"), (".hidden", "../real")):
        (root / name).symlink_to(target)
    listing = list_folder(root)
    assert [file.label for file in listing.images] == [f"{root}/a/1.png", f"{root}/images/deep/2.png"]
    assert listing.others == (root / "gone",)


def test_images_are_known_by_every_usual_suffix_and_without_one_by_their_content(tmp_path: Path):
    image = draw(tmp_path / "a.png")
    names = ("a.avif", "a.jfif", "a.jpe", "a.jpg:large", "a.jpg_large", "b", "c" * 64)
    for name in names:
        kind = "AVIF" if name == "a.avif" else "JPEG"
        (tmp_path / name).write_bytes(encoded(Image.open(image), kind))
    (tmp_path / "notes").write_text("BM is how a bitmap begins")
    os.mkfifo(tmp_path / "pipe")
    listing = list_folder(tmp_path)
    assert [file.name for file in listing.images] == sorted(("a.png", *names))
    assert [path.name for path in listing.others] == ["notes", "pipe"]
    assert all(open_image(ref(tmp_path / file.label)).size == (64, 48) for file in listing.images)
    pack("a.tar", [tmp_path / name for name in (*names, "notes")])
    packed = discover("a.tar")
    assert ([file.name for file in packed.images], packed.others) == ([*names], (PurePosixPath("notes"),))


def test_an_image_has_the_same_key_in_every_source(pictures: list[Path], tmp_path: Path):
    pack("a.tar", pictures)
    assert counts(extract("a.tar")) == (0, 4, 0)
    assert [path.name for path in tmp_path.rglob("*.png")] == [path.name for path in tmp_path.glob("images/*.png")]
    for number in range(2):
        pack(f"shard-00{number}.tar", pictures[2 * number : 2 * number + 2], "deep/{}")
    Path("list.txt").write_text("\n".join(str(path) for path in pictures))
    Path("list.jsonl").write_text("\n".join(json.dumps({"path": str(path), "label": 1}) for path in pictures))
    memory = fsspec.filesystem("memory")
    for path in pictures:
        memory.pipe_file(f"/known/{path.name}", path.read_bytes())
    memory.pipe_file("/known.tar", Path("a.tar").read_bytes())
    memory.pipe_file("/list.txt", b"\n".join(f"known/{path.name}".encode() for path in pictures))
    for target in ("images", "list.txt", "list.jsonl", "shard-{000..001}.tar"):
        assert counts(extract(target)) == (4, 0, 0), target
    for target in ("memory://known/", "memory://known.tar", "memory://list.txt"):
        assert counts(extract(target)) == (4, 0, 0), target
    with serving({path.name: path.read_bytes() for path in pictures}) as server:
        Path("web.txt").write_text("\n".join(server.url(path.name) + "?sign=secret" for path in pictures))
        answer = extract("web.txt")
        assert counts(answer) == (4, 0, 0)
        assert counts(extract("web.txt")) == (4, 0, 0)
        assert sum(server.sent.values()) == sum(len(path.read_bytes()) for path in pictures)
    assert b"secret" not in Path(".ita/index.sqlite").read_bytes()


def test_remote_images_are_fetched_only_once(pictures: list[Path]):
    with serving({path.name: path.read_bytes() for path in pictures}) as server:
        Path("web.txt").write_text("\n".join(server.url(name) for name in [*server.files, "gone.png"]))
        answer = extract("web.txt")
        assert answer.code == 1
        assert counts(answer) == (0, 4, 0)
        (lost,) = json.loads(answer.out)["unreadable"]
        assert lost == {"image": server.url("gone.png"), "reason": "cannot be fetched: the server answered 404"}
        assert sum(server.sent.values()) == sum(len(path.read_bytes()) for path in pictures)


def test_fetching_reports_progress_and_can_be_stopped(pictures: list[Path]):
    class Recorder(NoProgress):
        def __init__(self) -> None:
            self.calls: list[object] = []

        def start(self, stage: str, total: int) -> None:
            self.calls.append((stage, total))

        def advance(self, stage: str, done: int) -> None:
            self.calls.append((stage, done))
            self.stop_requested = stage == "fetch" and len(self.calls) == 3

        def finish(self) -> None:
            self.calls.append("finish")

    options = Options("bundled", ("ocr",))
    files = {f"{number}.png": b"%d" % number for number in range(600)}
    with serving(files) as server:
        Path("web.txt").write_text("\n".join(server.url(name) for name in files))
        recorder = Recorder()
        with pytest.raises(Interrupted):
            plan_extraction("web.txt", options, recorder)
        assert recorder.calls == [("fetch", 600), ("fetch", 256), ("fetch", 256), "finish"]
        sent = sum(server.sent.values())
        plan_extraction("web.txt", options)
        assert sum(server.sent.values()) == sum(map(len, files.values())) > sent
    quiet = Recorder()
    plan_extraction("images", options, quiet)
    assert quiet.calls == []


def test_plan_status_and_why_agree_on_a_source(pictures: list[Path]):
    pack("a.tar", pictures)
    dry = ita_here("extract", "a.tar", *OCR, "--dry-run", "--json")
    assert json.loads(dry.out)["stages"][0]["stale"] == 4
    status = ita_here("status", "a.tar", *OCR, "--json")
    assert json.loads(status.out)["stages"] == json.loads(dry.out)["stages"]
    assert counts(extract("a.tar")) == (0, 4, 0)
    why = ita_here("why", "a.tar::red.png", *OCR, "--json")
    assert json.loads(why.out)["path"] == "a.tar::red.png"
    assert json.loads(why.out)["stages"][0]["state"] == "fresh"
    gone = ita_here("why", "a.tar::pink.png", *OCR)
    assert gone.code == 3
    assert "there is no picture a.tar::pink.png" in gone.err
    seen = ita_here("status", *OCR)
    assert "skipped 4 pictures of other sources" in seen.err


def test_an_archive_that_changes_is_read_again(pictures: list[Path]):
    pack("a.tar", pictures[:2])
    assert counts(extract("a.tar")) == (0, 2, 0)
    pack("a.tar", pictures[2:])
    assert counts(extract("a.tar")) == (0, 2, 0)
    assert counts(extract("images")) == (4, 0, 0)


def test_the_contents_of_a_remote_archive_are_recorded_until_it_changes(pictures: list[Path]):
    first, other = (pack(f"{n}.tar", pictures[2 * n : 2 * n + 2], "\udce4/{}").read_bytes() for n in range(2))
    with serving({"a.tar": first}) as server:
        assert counts(extract(server.url("a.tar"))) == (0, 2, 0)
        server.sent.clear()
        assert counts(extract(server.url("a.tar"))) == (2, 0, 0)
        assert sum(server.sent.values()) == 1  # to ask how the archive stands
        server.files["a.tar"] = other
        assert counts(extract(server.url("a.tar"))) == (0, 2, 0)
        server.files["a.tar"] = other[:2000]
        assert extract(server.url("a.tar")).code == 1
        assert extract(server.url("a.tar")).code == 1


def test_a_damaged_archive_is_read_up_to_the_damage_and_reported(pictures: list[Path]):
    whole = pack("a.tar", pictures).read_bytes()
    Path("cut.tar").write_bytes(whole[:2000])
    answer = extract("cut.tar")
    assert answer.code == 1
    assert counts(answer)[1] >= 1
    assert "cut.tar" in answer.err
    Path("folder").mkdir()
    pack("folder/good.tar", pictures)
    Path("folder/bad.tar").write_bytes(b"no archive" * 1000)
    mixed = extract("folder")
    assert (mixed.code, counts(mixed)[0] + counts(mixed)[1]) == (1, 4)
    assert "bad.tar" in mixed.err


@pytest.mark.parametrize(
    ("target", "code", "says"),
    [
        ("gone.tar", 3, "gone.tar"),
        ("s-{0..3}.tar", 3, "s-"),
        ("memory://nowhere/", 2, "memory://nowhere"),
        ("memory://nowhere.tar", 3, "memory://nowhere.tar"),
        ("gs://bucket/x", 3, "gs:// needs a library"),
        ("soup://x", 2, "soup://"),
        ("empty.tar", 2, "there is no picture in empty.tar"),
        ("text.tar", 2, "text.tar is not a tar archive"),
    ],
)
def test_a_wrong_source_is_one_sentence(target: str, code: int, says: str, pictures: list[Path]):
    pack("empty.tar", [])
    Path("text.tar").write_text("hello")
    answer = ita_here("extract", target, *OCR)
    error = next(line for line in answer.err.splitlines() if line.startswith("error: "))
    assert (answer.code, says in error) == (code, True), answer.err
    assert "Traceback" not in answer.err


def test_other_files_of_a_source_are_counted(pictures: list[Path]):
    Path("notes.json").write_text("{}")
    pack("a.tar", [*pictures, Path("notes.json")])
    assert "skipped 1 file that has no image extension (1 .json): notes.json" in extract("a.tar").err


def test_the_page_of_a_source_shows_its_images(pictures: list[Path]):
    pack("a.tar", pictures, "deep/{}")
    with serving({path.name: path.read_bytes() for path in pictures}) as server:
        Path("web.txt").write_text("\n".join(server.url(f"{path.name}?sign=secret") for path in pictures))
        for target in ("a.tar", "web.txt"):
            answer = extract(target, "--show", "found.html")
            assert answer.code == 0, answer.err
            assert "wrote found.html with 4 pictures" in answer.err
            page = Path("found.html").read_text()
            assert "red.png" in page
            assert page.count("data:image/jpeg;base64,") >= 4
            assert "secret" not in page


def test_archives_in_a_folder_with_images_are_not_opened(pictures: list[Path]):
    pack("images/a.tar", pictures[:1])
    assert len(discover("images").images) == 4
    assert [path.name for path in discover("images").others] == ["a.tar"]


def test_a_label_names_one_image(pictures: list[Path]):
    fsspec.filesystem("memory").pipe_file("/one/a.png", b"x")
    assert find_image("memory://one/a.png").read(10) == b"x"
    for label in ("memory://one/b.png", "nowhere.png"):
        with pytest.raises(MissingError):
            find_image(label)
    bad = Unreadable(find_image("images/red.png"), "why")
    assert (bad.label, bad.path) == ("images/red.png", Path("images/red.png"))
