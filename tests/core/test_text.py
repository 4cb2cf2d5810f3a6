"""Tests of text to show: nothing hidden stays hidden, and nothing legible changes."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ita_pipeline.core.text import clean_line, escape_hidden, escape_name, map_texts


@pytest.mark.parametrize(
    ("text", "seen"),
    [
        ("plain", "plain"),
        ("two\nlines\tof it", "two\nlines\tof it"),
        ("\x1b[31mred", "␛[31mred"),
        ("\x00\x7f\x85", "␀␡‹U+0085›"),
        ("user\u202egnp.exe", "user‹U+202E›gnp.exe"),
        ("\u2066a\u2069\u200b\ufeff", "‹U+2066›a‹U+2069›‹U+200B›‹U+FEFF›"),
        ("a\u2028b\u2029", "a‹U+2028›b‹U+2029›"),
        ("caf\udce9.png", "caf\\xe9.png"),
        ("half an emoji \ud83d", "half an emoji \ufffd"),
        ("سلام שלום 👩\u200d🚀", "سلام שלום 👩\u200d🚀"),
        ("🏴\U000e0067\U000e0062\U000e007f a\U000e0067", "🏴\U000e0067\U000e0062\U000e007f a‹U+E0067›"),
    ],
)
def test_hidden_characters_are_written_out(text: str, seen: str):
    assert escape_hidden(text) == seen


@given(st.text())
def test_no_hidden_character_is_left_and_escaping_is_idempotent(text: str):
    seen = escape_hidden(text)
    seen.encode()
    hidden = {c for c in seen if unicodedata.category(c) in ("Cc", "Cf", "Cs", "Zl", "Zp")}
    assert not {c for c in hidden if c not in "\n\t\u200c\u200d" and not "\U000e0020" <= c <= "\U000e007f"}
    assert escape_hidden(seen) == seen


def test_a_name_stays_on_one_line():
    assert escape_name("a\nb\tc.png") == "a␊b␉c.png"


def test_all_texts_of_a_json_value_are_changed():
    assert map_texts({"a\x1b": ["\u202e", 1, None, ("\x00",)]}, escape_hidden) == {
        "a␛": ["‹U+202E›", 1, None, ["␀"]]
    }


def test_a_clean_line_has_no_control_or_direction_changing_characters():
    assert clean_line("a\x1b[31mb\u202ec\n\td  e") == "a [31mbc d e"
    assert clean_line("👩\u200d🚀") == "👩\u200d🚀"


@given(st.text())
def test_a_clean_line_is_one_line_and_stays_as_it_is(text: str):
    found = clean_line(text)
    assert "\n" not in found
    assert "\x1b" not in found
    assert clean_line(found) == found
