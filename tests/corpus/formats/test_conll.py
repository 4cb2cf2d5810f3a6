"""The CoNLL reader: the files as they are out there."""

from __future__ import annotations

import bz2
import gzip
import lzma
import tarfile
import zipfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ita_pipeline.core.errors import MissingError, UsageError
from ita_pipeline.corpus.formats.conll import Layout, format_conll, read_conll
from ita_pipeline.corpus.formats.schemes import decode_tags, encode_bio
from ita_pipeline.corpus.line_errors import LineError
from ita_pipeline.corpus.posts import Picture, Post, Span, join_words


def read(content: str, **types: str) -> list[Post]:
    path = Path("posts.txt")
    path.write_bytes(content.encode())
    return read_conll(path, types)


def test_a_tweet_with_its_picture():
    (post,) = read("IMGID:17_06_1\nAda\tB-PER\nLovelace\tI-PER\nspoke\tO\n\n")
    assert (post.id, post.image_id, post.words) == ("17_06_1", "17_06_1", ("Ada", "Lovelace", "spoke"))
    assert post.gold == (Span(0, 2, "PER"),)
    assert post.text[slice(*post.offsets[1])] == "Lovelace"


@pytest.mark.parametrize(
    "content",
    [
        "IMGID:1\nAda\tB-PER\n\nIMGID:2\nsaid\tO\n",
        "IMGID:1\r\nAda\tB-PER\r\n\r\nIMGID:2\r\nsaid\tO\r\n\r\n",
        "\ufeffIMGID:1\t\nAda B-PER\nIMGID:2\nsaid O",
        "\n\nIMGID:1\nAda _ x B-PER\n\n\n\nIMGID:2\nsaid O\n",
    ],
)
def test_line_ends_separators_and_blank_lines_do_not_matter(content: str):
    one, two = read(content)
    assert (one.image_id, one.gold, two.image_id, two.gold) == ("1", (Span(0, 1, "PER"),), "2", ())


def test_an_orphan_tag_starts_a_mention():
    (post,) = read("a I-PER\nb I-PER\nc I-LOC\nd O\ne I-LOC\nf B-LOC\n")
    assert post.gold == (Span(0, 2, "PER"), Span(2, 3, "LOC"), Span(4, 5, "LOC"), Span(5, 6, "LOC"))


def test_types_are_renamed_before_mentions_are_read():
    (post,) = read("a B-OTHER\nb I-MISC\n", OTHER="MISC")
    assert post.gold == (Span(0, 2, "MISC"),)


def test_a_tagged_word_that_looks_like_an_image_id_is_a_word():
    (post,) = read("IMGID:5\tO\nIMGID:6\tB-PER\n")
    assert post.words == ("IMGID:5", "IMGID:6")
    assert post.image_id is None


def test_a_file_without_tags_is_unlabeled():
    (post,) = read("IMGID:5\nhello\nworld\n")
    assert post.words == ("hello", "world")
    assert post.gold is None


@pytest.mark.parametrize("line", ["Ada\tPERSON", "Ada\tX-PER", "Ada\tB-"])
def test_a_bad_tag_is_named_with_its_line(line: str):
    with pytest.raises(UsageError, match="line 2"):
        read(f"fine\tO\n{line}\n")


@pytest.mark.parametrize("name", ["../../etc/passwd", "a/b", "", ".."])
def test_an_image_id_that_is_a_path_is_refused(name: str):
    with pytest.raises(UsageError, match="line 1"):
        read(f"IMGID:{name}\nx\tO\n")


def test_files_that_cannot_be_read_are_named():
    with pytest.raises(MissingError, match=r"nothing\.txt"):
        read_conll(Path("nothing.txt"))
    Path("latin.txt").write_bytes(b"caf\xe9\tO\n")
    with pytest.raises(UsageError, match="UTF-8"):
        read_conll(Path("latin.txt"))


@pytest.mark.parametrize("space", ["\u00a0", "\u3000", "\u0085", "\u2028", "\x1c"])
@pytest.mark.parametrize("separator", ["\t", " "])
def test_white_space_other_than_spaces_and_tabs_is_part_of_words(space: str, separator: str):
    (post,) = read(f"a{space}b{separator}B-PER\n{space}c{separator}I-PER\n{space}{separator}O\n")
    assert (post.words, post.gold) == ((f"a{space}b", f"{space}c", space), (Span(0, 2, "PER"),))


@pytest.mark.parametrize(
    "content",
    [
        "-DOCSTART-\n\nAda\tB-PER\nspoke\tO\n",
        "-DOCSTART- -X- -X- O\nAda NNP x B-PER\nspoke VBD x O\n",
        "# id = 3\n# newdoc\n# text = Ada said O\nAda B-PER\nspoke O\n",
        "Ada\tB-PER\t\nspoke\tO\t\t\n\t\n",
        "1\tAda\tB-PER\n2\tspoke\tO\n",
        "# sent_id = 1\n1-2\tAda's\t_\t_\n1\tAda\t_\tB-PER\n2\tspoke\t_\tO\n2.1\tx\t_\tO\n",
        "0 Ada B-PER\n1 spoke O\n",
    ],
)
def test_lines_that_are_no_words_and_numbers_of_words_are_passed_over(content: str):
    (post,) = read(content)
    assert (post.words, post.gold) == (("Ada", "spoke"), (Span(0, 1, "PER"),))


@pytest.mark.parametrize("separator", ["\t", " "])
def test_a_tagged_sign_or_number_is_a_word(separator: str):
    one, two = read("#,O|#id=3,O|=,O||1,O|2,B-PER\n".replace(",", separator).replace("|", "\n"))
    assert (one.words, two.words) == (("#", "#id=3", "="), ("1", "2"))


def test_ids_of_pictures_have_several_prefixes_and_lose_their_ending():
    content = "WID:Ll5\r\n#\tO\r\n\r\nIMGID:12.jpg\r\na\tB-PER\r\n"
    assert [(post.id, post.image_id) for post in read(content)] == [("Ll5", "Ll5"), ("12", "12")]
    Path("posts.txt").write_text("POST=7\na\tO\n")
    (post,) = read_conll(Path("posts.txt"), layout=Layout(id_prefixes=("POST=",)))
    assert (post.id, post.words) == ("7", ("a",))


def test_columns_may_be_named():
    Path("posts.txt").write_text("x B-PER Ada -\ny O spoke -\n")
    (post,) = read_conll(Path("posts.txt"), layout=Layout(token=2, tag=1))
    assert (post.words, post.gold) == (("Ada", "spoke"), (Span(0, 1, "PER"),))
    with pytest.raises(UsageError, match="line 1: there is no column 7") as caught:
        read_conll(Path("posts.txt"), layout=Layout(token=7))
    assert "columns: {token: 1, tag: -1}" in caught.value.hint


@pytest.mark.parametrize("line", ["1\tAda\tB-PER\t-", "Ada\tPERSON", "POST=7 x"])
def test_what_cannot_be_read_is_named_with_the_setting_that_mends_it(line: str):
    with pytest.raises(UsageError, match="line 2") as caught:
        read(f"fine\tO\n{line}\n")
    assert "columns: {token: 1, tag: -1}" in caught.value.hint


WORDS = st.lists(
    st.text(st.characters(codec="utf-8", categories=("L", "N", "P", "S")), min_size=1), min_size=1, max_size=6
)
BIO = st.sampled_from(["O", "B-PER", "I-PER", "B-LOC", "I-LOC"])


@given(st.data())
def test_what_is_written_is_read_again(data: st.DataObject):
    words = tuple(data.draw(WORDS))
    tags = data.draw(st.lists(BIO, min_size=len(words), max_size=len(words)))
    text, offsets = join_words(words)
    spans = tuple(decode_tags(tags, {}))
    post = Post("7", text, words, offsets, gold=spans, pictures=(Picture("7"),))
    (again,) = read(format_conll([(post, spans)]))
    assert again == post


@given(st.lists(BIO, max_size=10))
def test_tags_of_spans_decode_to_the_same_spans(tags: list[str]):
    spans = list(decode_tags(tags, {}))
    assert list(decode_tags(encode_bio(len(tags), spans), {})) == spans


def test_a_word_without_a_tag_among_tagged_ones_is_reported():
    path = Path("t.txt")
    path.write_text("a\tO\nb\n\nc\nd\n")
    errors: list[LineError] = []
    one, two = read_conll(path, on_error=errors.append)
    assert [(error.kind, error.line) for error in errors] == [("missing-tag", 2)]
    assert (one.gold, two.gold) == (None, None)
    assert read_conll(path) == [one, two]


def test_an_archive_is_named_with_the_command_that_unpacks_it():
    text = b"Ada\tB-PER\n"
    with zipfile.ZipFile("a.zip", "w") as archive:
        archive.writestr("train.txt", text)
    Path("b c.gz").write_bytes(gzip.compress(text))
    Path("c.bz2").write_bytes(bz2.compress(text))
    Path("d.xz").write_bytes(lzma.compress(text))
    with tarfile.open("e.tar", "w") as archive:
        archive.add("a.zip")
    commands = {
        "a.zip": "unzip a.zip",
        "b c.gz": "gunzip 'b c.gz'",
        "c.bz2": "bunzip2 c.bz2",
        "d.xz": "unxz d.xz",
        "e.tar": "tar -xf e.tar",
    }
    for name, command in commands.items():
        with pytest.raises(UsageError, match="not a text file") as caught:
            read_conll(Path(name))
        assert caught.value.hint == command
