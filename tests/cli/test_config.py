"""`ita config show` and `ita init`, and that every command heeds what they say."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
import yaml

from ita_pipeline.core.config import package_data_folder
from tests.support.fakes import draw, ita_here

BUNDLED = ("--preset", "bundled")

TEMPLATE = (package_data_folder("configs") / "ita.yaml").read_text("utf-8")


def origins(*arguments: str) -> dict[str, tuple[object, str]]:
    answer = ita_here("config", "show", "--json", *arguments)
    assert answer.code == 0, answer.err
    content = json.loads(answer.out)
    assert content["schema"] == "ita.config/1"
    return {one["name"]: (one["value"], one["origin"]) for one in content["settings"]}


def test_each_setting_has_its_origin(monkeypatch: pytest.MonkeyPatch):
    user = Path(".config/ita/config.yaml")
    user.parent.mkdir(parents=True)
    user.write_text("preset: paper\nlimits: {seconds: 9, megapixels: 9}\n")
    Path("ita.yaml").write_text("preset: bundled\ncontexts: {words: 5}\nlimits: {megapixels: 8}\n")
    monkeypatch.setenv("ITA_OCR__PAGE_MODE", "6")
    monkeypatch.setenv("ITA_ENCODER", "minilm")
    found = origins("--set", "contexts.words=7", "--set", "training.objective.text=2")
    assert found["preset"] == ("bundled", "ita.yaml")
    assert found["encoder"] == ("minilm", "environment ITA_ENCODER")
    assert found["ocr.page_mode"] == (6, "environment ITA_OCR__PAGE_MODE")
    assert found["ocr.languages"] == ("eng", "preset bundled")
    assert found["ocr.max_side"] == (2400, "default")
    assert found["contexts.words"] == (7, "--set")
    assert found["contexts.objects"] == (8, "preset bundled")
    assert found["limits.megapixels"] == (8, "ita.yaml")
    assert found["limits.seconds"] == (9.0, str(user.absolute()))
    assert found["training.objective.text"] == (2.0, "--set")
    assert found["training.epochs"][1] == "experiment default-bundled"
    assert origins("--preset", "paper")["preset"] == ("paper", "flag")
    assert origins("--dataset", "twitter15")["training.epochs"][1] == "experiment twitter15-bundled"


def test_show_prints_settings_in_the_form_of_set_with_their_origins(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("ITA_PRESTE", "paper")
    answer = ita_here("config", "show", "--origin", *BUNDLED)
    assert re.search(r"^ocr\.page_mode=lines +default$", answer.out, re.MULTILINE)
    assert re.search(r"^preset=bundled +flag$", answer.out, re.MULTILINE)
    assert answer.err == "unknown variable ITA_PRESTE; did you mean ITA_PRESET?\n"
    lines = ita_here("config", "show", *BUNDLED).out.splitlines()
    settings = [part for line in lines if "." in line.split("=")[0] for part in ("--set", line)]
    assert origins(*BUNDLED, *settings)["ocr.page_mode"] == ("lines", "--set")


@pytest.mark.parametrize(
    ("arguments", "code", "hint"),
    [
        (["--set", "orc.page_mode=6"], 2, "did you mean ocr?"),
        (["--set", "ocr.page_mod=6"], 2, "did you mean page_mode?"),
        (["--preset", "bundeld"], 2, "did you mean bundled?"),
        (["--dataset", "snpa"], 3, "did you mean snap?"),
    ],
)
def test_an_unknown_name_gets_the_nearest_known_one(arguments: list[str], code: int, hint: str):
    answer = ita_here("config", "show", *BUNDLED, *arguments)
    assert (answer.code, answer.err.splitlines()[-1]) == (code, f"hint: {hint}")


def test_commands_use_the_file_the_environment_and_flags(monkeypatch: pytest.MonkeyPatch):
    draw(Path("images/a.png"))
    draw(Path("images/b.png"), size=(2000, 1100))
    Path("ita.yaml").write_text("preset: bundled\nworkspace: w\ntraining: {epochs: 1}\nocr: {page_mode: 6}\n")
    extract = ("extract", "images", "--stage", "ocr")
    assert "preset `bundled` (from ita.yaml)" in ita_here(*extract).err
    (key,) = Path("w/.ita/cache/ocr").glob("*/stage.json")
    assert json.loads(key.read_text())["components"]["parameters"]["page_mode"] == 6
    assert json.loads(ita_here("status", "images", "--stage", "ocr", "--json").out)["stages"][0]["fresh"] == 2
    stale = ("status", "images", "--stage", "ocr", "--json", "--set", "ocr.page_mode=lines")
    assert json.loads(ita_here(*stale).out)["stages"][0]["stale"] == 2
    monkeypatch.setenv("ITA_LIMITS__MEGAPIXELS", "1")
    assert ita_here(*extract, "--refresh", "ocr").code == 1
    assert ita_here(*extract, "--retry-failed", "--set", "limits.megapixels=40").code == 0
    assert (
        "preset `paper` (from --preset)" in ita_here("status", "images", "--stage", "ocr", "--preset", "paper").err
    )


def test_an_invalid_file_is_named_and_help_still_works():
    Path("ita.yaml").write_text("preset: [\n")
    answer = ita_here("extract", "images")
    assert answer.code == 2
    assert "ita.yaml:2 is not valid YAML" in answer.err
    assert ita_here("--help").code == 0
    assert ita_here("extract", "--help").code == 0


def test_trust_is_given_listed_and_taken_back():
    assert ita_here("config", "trust", "https://api.example.org/v1", "--key").err == (
        "api.example.org is trusted, also with the API key\n"
    )
    assert ita_here("config", "trust", "s3://bucket/cache").code == 0
    listed = ita_here("config", "trust", "--list")
    assert listed.out.splitlines() == ["api.example.org (also with the API key)", "s3://bucket"]
    assert (
        ita_here("config", "trust", "--remove", "api.example.org").err == "api.example.org is trusted no longer\n"
    )
    assert ita_here("config", "trust", "--list").out == "s3://bucket\n"


@pytest.mark.parametrize("arguments", [[], ["a.example", "--list"], ["--list", "--remove", "a.example"]])
def test_trust_does_one_thing_at_a_time(arguments: list[str]):
    answer = ita_here("config", "trust", *arguments)
    assert (answer.code, answer.err.splitlines()[0]) == (2, "error: name one thing to do")


def test_init_writes_comments_once_and_each_is_a_valid_setting():
    assert ita_here("init").code == 0
    before = origins(*BUNDLED)
    again = ita_here("init")
    assert (again.code, Path("ita.yaml").read_text()) == (2, TEMPLATE)
    assert again.err.endswith("hint: ita config show --origin shows its settings\n")
    setting = re.compile(r"^# (?=(?:  )?[a-z_]+:(?: |$))", re.MULTILINE)
    Path("ita.yaml").write_text(setting.sub("", TEMPLATE))
    content = yaml.safe_load(Path("ita.yaml").read_text())
    assert set(content) == {"preset", "data", "workspace", "encoder", "ocr", "contexts", "limits", "training"}
    after = origins()
    assert set(after) == set(before)
    assert after["limits.seconds"] == (300.0, "ita.yaml")
    assert after["contexts.order"] == (["objects", "caption", "ocr", "extra"], "ita.yaml")


@pytest.mark.parametrize(
    ("content", "message", "hint"),
    [
        (
            "training:\n  # more\n  epochs: many\n",
            "ita.yaml:3: training.epochs must be an integer, not 'many'",
            "there",
        ),
        (
            "preset: bundled\nlimits: {pixels: 1}\n",
            "ita.yaml:2: limits.pixels is not a setting",
            "did you mean megapixels?",
        ),
    ],
)
def test_an_invalid_setting_is_named_with_its_line_and_can_be_shown(content: str, message: str, hint: str):
    Path("ita.yaml").write_text(content)
    shown = ita_here("config", "show", "--origin", *BUNDLED)
    assert shown.code == 2
    assert f"error: {message}\n" in shown.err
    assert hint in shown.err.splitlines()[-1]
    assert re.search(r"^ocr\.page_mode=lines +default$", shown.out, re.MULTILINE)
    draw(Path("images/a.png"))
    command = (
        ("train", "--dataset", "example") if "training" in content else ("extract", "images", "--stage", "ocr")
    )
    assert f"error: {message}\nhint: " in ita_here(*command, *BUNDLED, "--dry-run").err


def test_an_invalid_variable_is_named(monkeypatch: pytest.MonkeyPatch):
    draw(Path("images/a.png"))
    monkeypatch.setenv("ITA_OCR__PAGE_MODE", "99")
    answer = ita_here("extract", "images", *BUNDLED, "--stage", "ocr")
    assert answer.code == 2
    assert "error: ITA_OCR__PAGE_MODE: ocr.page_mode must be 'lines'" in answer.err


def test_a_section_whose_settings_are_all_comments_is_empty():
    Path("ita.yaml").write_text("preset: bundled\nocr:\n#   page_mode: 6\nlimits:\n")
    assert origins()["ocr.page_mode"] == ("lines", "default")
