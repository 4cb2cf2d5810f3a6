"""Tests of lists of images: what their lines name, and patterns with braces."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ita_pipeline.core.errors import MissingError, UsageError
from ita_pipeline.sources.classify import TargetKind, classify
from ita_pipeline.sources.file_list import expand_braces, open_source, read_list
from ita_pipeline.sources.local import LocalFile


def labels(path: Path) -> list[str]:
    return [source.label for source in read_list(LocalFile(path)).images]


def test_a_text_file_names_one_image_per_line(tmp_path: Path):
    path = tmp_path / "deep" / "list.txt"
    path.parent.mkdir()
    odd = os.fsdecode(b"not \xff text.jpg")
    lines = ["a.jpg", "", f"{tmp_path}/b.png\r", "https://host/c.jpg?sign=secret", "s3://bucket/d e.jpg", odd]
    path.write_bytes(b"\xef\xbb\xbf" + os.fsencode("\n".join(lines)))
    assert labels(path) == [
        f"{tmp_path}/deep/a.jpg",
        f"{tmp_path}/b.png",
        "https://host/c.jpg",
        "s3://bucket/d e.jpg",
        f"{tmp_path}/deep/{odd}",
    ]


def test_a_list_names_files_in_the_home_folder_and_spaces_at_the_end_of_a_line_do_not_count(tmp_path: Path):
    path = tmp_path / "list.txt"
    path.write_text("~/a.jpg\nb c.jpg \t\nhttps://host/d.jpg  \n~x/e.jpg\n")
    home = Path.home()
    assert labels(path) == [f"{home}/a.jpg", f"{tmp_path}/b c.jpg", "https://host/d.jpg", f"{tmp_path}/~x/e.jpg"]
    (tmp_path / "list.jsonl").write_text('{"path": "~/a.jpg "}')
    assert labels(tmp_path / "list.jsonl") == [f"{home}/a.jpg"]


@pytest.mark.parametrize("column", ["image", "path", "file_name", "url"])
def test_lines_of_json_without_a_text_are_a_list(tmp_path: Path, column: str):
    path = tmp_path / "list.jsonl"
    path.write_text("\n".join(json.dumps({"label": 1, column: name}) for name in ("a.jpg", None, "b.jpg", "c.jpg")))
    assert classify(path) is TargetKind.IMAGE_LIST
    assert labels(path) == [f"{tmp_path}/{name}" for name in ("a.jpg", "b.jpg", "c.jpg")]
    assert read_list(LocalFile(path)).notes == (f"without {column}: 1 line of {path}",)


@pytest.mark.parametrize("first", ['{"text": "hi", "image": "a.jpg"}', '{"tokens": ["hi"]}', "{broken", "[1]", ""])
def test_lines_of_json_with_a_text_are_posts(tmp_path: Path, first: str):
    path = tmp_path / "posts.jsonl"
    path.write_text(first)
    assert classify(path) is TargetKind.POSTS_FILE


def test_a_malformed_list_is_refused_with_the_line(tmp_path: Path):
    path = tmp_path / "list.jsonl"
    path.write_text('{"path": "a.jpg"}\n\n["b.jpg"]\n')
    with pytest.raises(UsageError, match="line 3"):
        read_list(LocalFile(path))
    binary = tmp_path / "list.txt"
    binary.write_bytes(b"\x89PNG\0\0")
    with pytest.raises(UsageError, match="zero byte"):
        read_list(LocalFile(binary))
    binary.write_bytes(b"x" * 3_000_000)
    with pytest.raises(UsageError, match="million"):
        read_list(LocalFile(binary))
    with pytest.raises(MissingError, match=r"gone\.txt"):
        read_list(LocalFile(tmp_path / "gone.txt"))


def test_names_in_a_remote_list_start_from_its_folder():
    base = open_source("memory://folder/list.txt")
    import fsspec

    fsspec.filesystem("memory").pipe_file("/folder/list.txt", b"a.jpg\ndeep/b.jpg\nhttps://host/c.jpg\n")
    assert [source.label for source in read_list(base).images] == [
        "memory://folder/a.jpg",
        "memory://folder/deep/b.jpg",
        "https://host/c.jpg",
    ]


def test_a_file_url_is_a_file():
    assert open_source("file:///a%20b/c.jpg") == LocalFile(Path("/a b/c.jpg"))


@pytest.mark.parametrize(
    ("pattern", "names"),
    [
        ("s-{000..002}.tar", ["s-000.tar", "s-001.tar", "s-002.tar"]),
        ("s-{8..11}.tar", ["s-8.tar", "s-9.tar", "s-10.tar", "s-11.tar"]),
        ("s-{2..1}.tar", ["s-2.tar", "s-1.tar"]),
        ("{train,test}/{0..1}.tar", ["train/0.tar", "train/1.tar", "test/0.tar", "test/1.tar"]),
        ("{}.tar", ["{}.tar"]),
        ("{a}.tar", ["{a}.tar"]),
    ],
)
def test_braces_stand_for_names(pattern: str, names: list[str]):
    assert expand_braces(pattern) == names


def test_braces_for_too_many_names_are_refused():
    for pattern in ("{0..99999999999}.tar", "{000..999}{000..999}.tar"):
        with pytest.raises(UsageError, match="more than"):
            expand_braces(pattern)


@given(st.integers(0, 2000), st.integers(0, 30), st.integers(1, 6))
def test_ranges_count_as_a_shell_does(start: int, more: int, width: int):
    pattern = f"x{{{start:0{width}}..{start + more:0{width}}}}"
    assert expand_braces(pattern) == [f"x{number:0{width}}" for number in range(start, start + more + 1)]
