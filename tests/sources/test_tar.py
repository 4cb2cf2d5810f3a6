"""Tests of archives: members are those of `tarfile`, and damage is one sentence."""

from __future__ import annotations

import io
import tarfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ita_pipeline.core.errors import UsageError
from ita_pipeline.sources.local import LocalFile
from ita_pipeline.sources.tar import ArchiveContents, Member, list_archive
from stages.base import BadItemError, FailureKind

FORMATS = (tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT)
LETTERS = st.characters(exclude_characters="\0", exclude_categories=("Cs",))
NAMES = st.lists(
    st.text(LETTERS, min_size=1, max_size=120).map(lambda t: t.replace("/", "_").strip(".") or "x"), min_size=1
)


def packed(files: list[tuple[str, bytes]], kind: int = tarfile.PAX_FORMAT) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=kind) as made:
        for name, content in files:
            info = tarfile.TarInfo(name)
            info.size = len(content)
            made.addfile(info, io.BytesIO(content))
    return buffer.getvalue()


def read(content: bytes) -> list[Member]:
    found = opened(content)
    assert not found.damage
    return list(found.members)


def opened(content: bytes) -> ArchiveContents:
    path = Path("a.tar")
    path.write_bytes(content)
    return list_archive(LocalFile(path), "stamp")


@settings(max_examples=100, deadline=None, derandomize=True)
@given(
    st.lists(st.tuples(NAMES.map("/".join), st.binary(max_size=1500)), max_size=8),
    st.sampled_from(FORMATS),
)
def test_members_equal_those_that_tarfile_reads(files: list[tuple[str, bytes]], kind: int):
    if kind == tarfile.USTAR_FORMAT:
        files = [(f"{number}.png", content) for number, (_, content) in enumerate(files)]
    found = read(packed(files, kind))
    with tarfile.open("a.tar", errors="surrogateescape") as theirs:
        wanted = {info.offset_data: (info.name, theirs.extractfile(info).read()) for info in theirs}  # type: ignore[union-attr]
    assert {one.offset: (one.path, one.read(10_000)) for one in found} == wanted
    assert len(found) == len(files)


@settings(max_examples=300, deadline=None, derandomize=True)
@given(st.data())
def test_a_damaged_archive_is_read_or_refused_in_one_sentence(data: st.DataObject):
    files = [("a.png", b"x" * 700), ("long/" * 30 + "b.png", b"y" * 20), ("c.png", b"z" * 600)]
    content = bytearray(packed(files, data.draw(st.sampled_from(FORMATS[1:]))))
    content = content[: data.draw(st.integers(0, len(content)))]
    for _ in range(data.draw(st.integers(0, 6))):
        if content:
            content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    try:
        found = opened(bytes(content)).members
    except UsageError as error:
        assert "a.tar" in str(error)
        return
    for member in found:
        try:
            assert len(member.read(10_000)) == member.size
        except BadItemError as bad:
            assert bad.failure.reason


def test_paths_outside_the_archive_are_only_labels(tmp_path: Path):
    found = read(packed([("../../out.png", b"1"), ("/etc/abs.png", b"2"), ("a/../b.png", b"3")]))
    assert [one.read(10) for one in found] == [b"1", b"2", b"3"]
    assert [path.name for path in tmp_path.iterdir()] == ["a.tar"]
    assert found[0].label == "a.tar::../../out.png"
    assert found[0].name == "out.png"


def test_links_and_special_files_have_a_reason_and_hidden_files_are_left_out():
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as made:
        for name, kind in (
            ("link.png", tarfile.SYMTYPE),
            ("hard.png", tarfile.LNKTYPE),
            ("fifo.png", tarfile.FIFOTYPE),
        ):
            info = tarfile.TarInfo(name)
            info.type, info.linkname = kind, "/etc/passwd"
            made.addfile(info)
        made.addfile(tarfile.TarInfo("._hidden.png"))
        folder = tarfile.TarInfo("folder.png")
        folder.type = tarfile.DIRTYPE
        made.addfile(folder)
    found = read(buffer.getvalue())
    assert [one.path for one in found] == ["link.png", "hard.png", "fifo.png"]
    for one in found:
        with pytest.raises(BadItemError, match=r"link|regular"):
            one.read(10)


def header(name: str, size: bytes, kind: bytes = b"0") -> bytes:
    info = tarfile.TarInfo(name)
    raw = bytearray(info.tobuf(tarfile.GNU_FORMAT))
    raw[124:136] = size.ljust(12, b"\0")
    raw[156:157] = kind
    raw[148:156] = b" " * 8
    raw[148:156] = b"%06o\0 " % sum(raw)
    return bytes(raw)


def test_false_sizes_are_refused_without_reading_them():
    huge = header("huge.png", b"77777777777")
    found = opened(huge + b"x" * 1024)
    (member,) = found.members
    assert "unexpected end" in found.damage
    with pytest.raises(BadItemError, match="ends in the middle"):
        member.read(1 << 40)
    negative = header("a.png", b"\xff" * 10 + b"\xfc\x00")
    with pytest.raises(UsageError, match="damaged"):
        opened(negative + b"\0" * 2048)
    for kind in (b"x", b"g", b"L"):
        with pytest.raises(UsageError, match="more than a megabyte"):
            opened(header("pax", b"%o" % (2 << 20), kind) + b"0" * (3 << 20))


def test_a_member_is_limited_before_it_is_read():
    (member,) = read(packed([("a.png", b"x" * 5000)]))
    with pytest.raises(BadItemError) as caught:
        member.read(4999)
    assert caught.value.failure.kind is FailureKind.RESOURCE


def test_garbage_after_a_member_is_damage():
    content = packed([("a.png", b"1"), ("b.png", b"2")])
    found = opened(content[:1024] + b"?" * 512 + content[1024:])
    assert [one.path for one in found.members] == ["a.png"]
    assert "is no header" in found.damage


def test_a_compressed_archive_is_refused_with_a_remedy():
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as made:
        made.addfile(tarfile.TarInfo("a.png"))
    with pytest.raises(UsageError, match="not a tar archive") as caught:
        opened(buffer.getvalue())
    assert "unpacked" in caught.value.hint


def test_an_archive_truncated_after_its_listing_is_a_transient_failure():
    (member,) = read(packed([("a.png", b"x" * 5000)]))
    Path("a.tar").write_bytes(Path("a.tar").read_bytes()[:1000])
    with pytest.raises(BadItemError) as caught:
        member.read(10_000)
    assert caught.value.failure.kind is FailureKind.TRANSIENT


def test_many_members_are_listed_with_few_in_memory():
    Path("a.tar").write_bytes(packed([(f"{n}.png", b"x") for n in range(50)]))
    contents = list_archive(LocalFile(Path("a.tar")), "stamp", max_members_held=3)
    assert [member.read(1) for member in contents.members] == [b"x"] * 50


def test_contents_survive_json():
    contents = opened(packed([("a.png", b"one"), ("\udce4.png", b"two")]))
    restored = ArchiveContents.from_json(contents.to_json(), LocalFile(Path("a.tar")), "stamp")
    assert restored == contents
