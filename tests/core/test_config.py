"""Tests of configuration files and `--set`: errors name the setting and the nearest name."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ita_pipeline.core.config import (
    MAX_BYTES,
    merge_settings,
    package_data_folder,
    parse_assignments,
    parse_config,
    read_yaml,
)
from ita_pipeline.core.errors import MissingError, UsageError
from ita_pipeline.ner.config import TrainingConfig


def yaml(content: str) -> Path:
    path = Path("config.yaml")
    path.write_text(content, encoding="utf-8")
    return path


def test_values_are_read_as_yaml():
    found = parse_assignments(["ocr.languages=eng+deu", "ocr.page_mode=6", "training.objective.text=0.5"])
    assert found == {"ocr": {"languages": "eng+deu", "page_mode": 6}, "training": {"objective": {"text": 0.5}}}


@pytest.mark.parametrize("text", ["ocr", "ocr.page_mode", "=3", "ocr.=3", "ocr.a={", "a.b=1\x00"])
def test_an_assignment_of_another_form_is_refused(text: str):
    with pytest.raises(UsageError):
        parse_assignments([text])


@pytest.mark.parametrize("content", ["a: 1\na: 2", "- a list", "a: [", "a: !!python/object:os.system x", "\x00"])
def test_a_file_that_is_not_a_plain_mapping_is_refused(content: str):
    with pytest.raises(UsageError, match=r"config\.yaml"):
        read_yaml(yaml(content))


def test_a_huge_file_is_refused_before_it_is_read():
    with pytest.raises(UsageError, match="too large"):
        read_yaml(yaml("a: " + "x" * 2_000_000))


def test_many_names_do_not_take_the_square_of_their_number():
    assert len(read_yaml(yaml("\n".join(f"a{n}: 1" for n in range(10_000))))) == 10_000


def test_a_pipe_or_a_file_that_is_too_large_is_no_configuration():
    os.mkfifo("pipe.yaml")
    with pytest.raises(MissingError, match="not a regular file"):
        read_yaml(Path("pipe.yaml"))
    Path("large.yaml").write_text("a: " + "b" * MAX_BYTES)
    with pytest.raises(UsageError, match="too large"):
        read_yaml(Path("large.yaml"))


def test_a_missing_file_is_named():
    with pytest.raises(MissingError, match=r"gone\.yaml"):
        read_yaml(Path("gone.yaml"))


def test_an_unknown_setting_is_refused_with_the_nearest():
    with pytest.raises(UsageError, match="epoch is not a setting") as caught:
        parse_config(TrainingConfig, {"epoch": 3}, "experiment x")
    assert caught.value.hint == "did you mean epochs?"
    with pytest.raises(UsageError, match=r"objective\.txt") as caught:
        parse_config(TrainingConfig, {"objective": {"txt": 3}}, "experiment x")
    assert caught.value.hint == "did you mean text?"


def test_an_impossible_value_is_shown():
    with pytest.raises(UsageError, match=r"experiment x: epochs must be .*not 0"):
        parse_config(TrainingConfig, {"epochs": 0}, "experiment x")


MAPPING = st.recursive(st.integers(), lambda inner: st.dictionaries(st.sampled_from("abc"), inner, max_size=3))


@given(st.dictionaries(st.sampled_from("abc"), MAPPING), st.dictionaries(st.sampled_from("abc"), MAPPING))
def test_merging_keeps_unchanged_settings(base: dict[str, object], changes: dict[str, object]):
    found = merge_settings(base, changes)
    assert merge_settings(found, changes) == found
    assert merge_settings(base, {}) == base
    for name in base.keys() - changes.keys():
        assert found[name] == base[name]


def test_package_data_is_beside_the_package_in_a_checkout_and_inside_it_in_a_wheel(tmp_path: Path):
    package = tmp_path / "site" / "ita_pipeline"
    package.mkdir(parents=True)
    assert package_data_folder("configs", package) == tmp_path / "site" / "configs"
    (package / "configs").mkdir()
    assert package_data_folder("configs", package) == package / "configs"
    assert (package_data_folder("configs") / "presets").is_dir()
