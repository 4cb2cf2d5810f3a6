"""Prompts: what is filled in, and which files are refused."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stages.base import StageError
from stages.knowledge.prompt import Prompt, list_bundled_prompts, load_prompt

words = st.text(st.characters(codec="utf-8", exclude_categories=["Cs", "Cc"]), min_size=1, max_size=30)


@settings(deadline=None)
@given(text=words, caption=words)
def test_placeholders_in_inserted_text_are_not_filled_in(text: str, caption: str) -> None:
    prompt = Prompt(version=1, user="A {text} B\n{caption}", caption="C {caption} D")
    (message,) = prompt.build_messages(text, {"caption": caption})
    assert message.text == f"A {text} B\nC {caption} D"


def test_bundled_prompts_are_valid_and_identified_by_their_content(tmp_path: Path) -> None:
    assert {"tweet", "short"} <= list_bundled_prompts().keys()
    identities = {load_prompt(name).identity for name in list_bundled_prompts()}
    assert len(identities) == len(list_bundled_prompts())
    copy = tmp_path / "mine.yaml"
    copy.write_bytes(list_bundled_prompts()["tweet"].read_bytes())
    assert load_prompt(str(copy)).identity == load_prompt("tweet").identity
    copy.write_text("version: 2\nuser: '{text}?'\n")
    assert load_prompt(str(copy)).identity != load_prompt("tweet").identity


@pytest.mark.parametrize("content", ["", "- a", "version: 0\nuser: '{text}'", "version: 1\nuser: hi", "a: ["])
def test_an_invalid_prompt_is_an_error_that_names_the_file(content: str, tmp_path: Path) -> None:
    file = tmp_path / "bad.yaml"
    file.write_text(content)
    with pytest.raises(StageError, match=r"bad\.yaml"):
        load_prompt(str(file))
