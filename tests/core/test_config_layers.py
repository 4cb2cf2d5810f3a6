"""Tests of settings in files and the environment: their order, and names that are not settings."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from ita_pipeline.core.config_layers import (
    find_named_config,
    merge_options,
    merge_sections,
    read_layers,
    unknown_variables,
    user_config_file,
)
from ita_pipeline.core.errors import MissingError, UsageError


def write(project: str = "", user: str = "") -> None:
    Path("ita.yaml").write_text(project)
    file = user_config_file({"XDG_CONFIG_HOME": ".config"})
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(user)


def found(**environment: str) -> tuple[dict[str, str], dict[str, dict[str, object]]]:
    layered = read_layers({"XDG_CONFIG_HOME": ".config", **environment})
    return merge_options(layered), merge_sections(layered)


def test_without_files_and_variables_there_are_no_settings():
    assert found() == ({}, {})


def test_environment_goes_over_the_project_and_the_project_over_the_user():
    write(
        "preset: paper\nencoder: b\nocr: {page_mode: 3}\n",
        "preset: x\nencoder: a\nocr: {page_mode: 1, workers: 9}\n",
    )
    assert found() == ({"preset": "paper", "encoder": "b"}, {"ocr": {"page_mode": 3, "workers": 9}})
    options, sections = found(ITA_PRESET="bundled", ITA_OCR__PAGE_MODE="6", ITA_TRAINING__OBJECTIVE__TEXT="0.5")
    assert options == {"preset": "bundled", "encoder": "b"}
    assert sections["ocr"] == {"page_mode": 6, "workers": 9}
    assert sections["training"] == {"objective": {"text": 0.5}}


def test_the_project_cannot_consent_name_a_key_or_share_records_elsewhere():
    knowledge = "{endpoint: http://x/v1, consent: true, key_variable: SECRET}"
    write(
        f"shared: s3://theirs/cache\nknowledge: {knowledge}\n",
        "shared: s3://mine/cache\nknowledge: {consent: true}\n",
    )
    user, project = read_layers({"XDG_CONFIG_HOME": ".config"})
    assert (user.is_own, project.is_own, user.withheld) == (True, False, {})
    assert list(project.withheld) == ["knowledge.consent", "knowledge.key_variable", "shared"]
    assert project.withheld["shared"][1] == "ita config trust s3://theirs"
    expected = ({"shared": "s3://mine/cache"}, {"knowledge": {"endpoint": "http://x/v1", "consent": True}})
    assert found() == expected
    write("shared: cache\n")
    assert found() == ({"shared": "cache"}, {})


def test_relative_folders_start_from_the_folder_of_the_file():
    write("data: tweets\n", "data: mine\n")
    assert found()[0]["data"] == "tweets"
    write("", "data: mine\nworkspace: ~/w\n")
    assert found()[0] == {"data": ".config/ita/mine", "workspace": str(Path("~/w").expanduser())}


@pytest.mark.parametrize(
    ("content", "message", "hint"),
    [
        ("prest: bundled", "ita.yaml:1: prest is not a setting", "preset"),
        ("orc: {page_mode: 6}", "ita.yaml:1: orc is not a section", "ocr"),
        ("ocr: 6", "ocr contains settings", "NAME: VALUE"),
        ("preset: 3", "preset must be a name or a path", ""),
        ("- a", "does not contain a mapping", ""),
        ("a: 1\na: 2", "given twice", ""),
    ],
)
def test_an_unknown_setting_is_refused_with_the_nearest(content: str, message: str, hint: str):
    write(content)
    with pytest.raises(UsageError, match=message) as caught:
        found()
    assert "ita.yaml" in str(caught.value)
    assert hint in caught.value.hint


def test_a_file_without_read_permission_is_named_with_a_remedy(monkeypatch: pytest.MonkeyPatch):
    write("preset: bundled\n")

    def deny(path: object, *_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(os, "open", deny)
    with pytest.raises(MissingError, match="cannot be read: Permission denied") as caught:
        found()
    assert caught.value.hint.startswith("chmod u+r ")


def test_a_file_that_is_far_too_large_is_refused_before_it_is_read_whole():
    write()
    with Path("ita.yaml").open("r+b") as file:
        file.truncate(1 << 40)
    with pytest.raises(UsageError, match="too large"):
        found()


def test_a_variable_for_no_section_is_refused_and_a_misspelt_one_is_known():
    with pytest.raises(UsageError, match="ITA_ORC__PAGE_MODE"):
        found(ITA_ORC__PAGE_MODE="6")
    known = {"ITA_DEBUG": "1", "ITA_DATA": "d", "HOME": "/"}
    assert unknown_variables({"ITA_PRESTE": "x", "ITA_CRASH_KILLS": "9", "ITA_OCR_WORKERS": "2", **known}) == {
        "ITA_CRASH_KILLS": "",
        "ITA_OCR_WORKERS": "did you mean ITA_OCR__WORKERS?",
        "ITA_PRESTE": "did you mean ITA_PRESET?",
    }


@given(st.dictionaries(st.sampled_from(["page_mode", "workers", "memory"]), st.integers(), min_size=1))
def test_a_section_reads_the_same_from_file_and_environment(values: dict[str, int]):
    write(yaml.safe_dump({"ocr": values}))
    from_file = found()[1]
    write()
    variables = {f"ITA_OCR__{name.upper()}": str(value) for name, value in values.items()}
    assert found(**variables)[1] == from_file == {"ocr": values}


def test_an_unknown_preset_is_reported_where_it_is_named(monkeypatch: pytest.MonkeyPatch):
    write("encoder: x\npreset: bundeld\n")
    with pytest.raises(UsageError, match=r"^ita\.yaml:2: there is no preset bundeld") as caught:
        find_named_config("preset", "bundeld")
    assert caught.value.hint == "did you mean bundled?"
    with pytest.raises(UsageError, match=r"^there is no preset paperr"):
        find_named_config("preset", "paperr")
    monkeypatch.setenv("ITA_EXPERIMENT", "nope")
    with pytest.raises(UsageError, match=r"^ITA_EXPERIMENT: there is no experiment nope"):
        find_named_config("experiment", "nope")
