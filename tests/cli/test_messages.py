"""What a person reads: each mistake answered in one form, and output that suits pipes, terminals and scripts."""

from __future__ import annotations

import os
import pty
import re
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.support.fakes import draw, ita, ita_here

BUNDLED = ("--preset", "bundled")
PROGRAM = str(Path(sys.executable).parent / "ita")


@pytest.fixture
def images() -> Path:
    draw(Path("images/a.png"))
    return Path("images")


@pytest.mark.parametrize(
    ("arguments", "code", "message", "hint"),
    [
        (["extrct", "images"], 2, "no such command 'extrct'", "did you mean extract?"),
        (["data", "chek", "x"], 2, "no such command 'chek'", "did you mean check?"),
        (
            ["extract"],
            2,
            "missing argument 'SOURCE|POSTS|DATASET'",
            "ita extract images/ (more: ita extract --help)",
        ),
        (["train"], 2, "missing option '--dataset'", "ita train --dataset example (more: ita train --help)"),
        (["extract", "x", "--presett", "y"], 2, "no such option: --presett", "did you mean --preset?"),
        (["extract", "x", "--nonsense"], 2, "no such option: --nonsense", "ita extract --help"),
        (["extract", "x", "--limit", "0"], 2, "invalid value for '--limit'", "ita extract --help"),
        (["extract", "x", "--limit", "a"], 2, "'--limit': input should be a valid integer", "ita extract --help"),
        (["extract", "x", "--engine", "locl"], 2, "'--engine': 'locl' is not one of", "did you mean local?"),
        (["extract", "x", "--engine", "spark"], 2, "'--engine': 'spark' is not one of", "ita extract --help"),
        (["extract", "x", "--set"], 2, "option '--set' requires an argument", "ita extract --help"),
        (["extract", "gone"], 2, "there is no folder gone", "ita extract FOLDER, a folder with pictures"),
        (["extract", "a.md"], 2, "a.md is a file, not a folder of pictures", "ita extract ."),
        (["extract", "images", "--preset", "bundeld"], 2, "there is no preset bundeld", "did you mean bundled?"),
        (["extract", "images", *BUNDLED, "--stage", "ocrr"], 2, "has no stage ocrr", "did you mean ocr?"),
        (["extract", "images", *BUNDLED, "--set", "ocr"], 2, "not of the form STAGE.PARAMETER=VALUE", "--set ocr."),
        (["extract", "images", *BUNDLED, "--set", "orc.a=1"], 2, "--set names orc", "did you mean ocr?"),
        (
            ["extract", "images", *BUNDLED, "--set", "ocr.page_mode=99"],
            2,
            "stage ocr: page_mode: input should be 'lines', or less than or equal to 13, not 99",
            "ita config show --origin",
        ),
        (["train", "--dataset", "bare", *BUNDLED], 2, "no mention to learn from", "ita data check bare"),
        (["status", "exmple"], 2, "there is no dataset exmple", "did you mean example?"),
        (["why", "gone.jpg"], 2, "there is no picture gone.jpg", "ita why FILE"),
        (["train", "--dataset", "snap"], 3, "dataset snap: its files", "get them from"),
        (
            ["train", "--dataset", "example", *BUNDLED, "--contexts", "ocrs"],
            2,
            "no context ocrs",
            "did you mean ocr?",
        ),
        (["train", "--dataset", "example", *BUNDLED, "--captions", "x"], 3, "no caption file x", "--captions FILE"),
        (
            ["train", "--dataset", "example", *BUNDLED, "--encoder", "./x"],
            3,
            "no model folder ./x",
            "name a folder",
        ),
        (["predict", "example", "--text", "hi"], 3, "there is no run example", "ita train --dataset example"),
        (["predict", "example"], 2, "give one source of posts", "ita predict RUN --text"),
        (["data", "check", "gone"], 2, "there is no dataset gone", "or give a folder with tweets.jsonl"),
        (["data", "import", "./gone", "--to", "x"], 3, "no file or folder gone", "ita data import FOLDER"),
        (["data", "import-contexts", "gone.tsv"], 3, "gone.tsv cannot be read", "check its name"),
        (["data", "export", "example"], 2, "missing option '--to'", "ita data export example --to"),
        (["cache", "verfy"], 2, "no such command 'verfy'", "did you mean verify?"),
    ],
)
def test_each_mistake_gets_a_sentence_a_hint_and_its_code(
    arguments: list[str], code: int, message: str, hint: str, images: Path
):
    Path("a.md").write_text("no picture")
    Path("bare").mkdir()
    for name in ("train", "dev", "test"):
        Path(f"bare/{name}.txt").write_text("word\tO\n")
    answer = ita_here(*arguments)
    error, told = answer.err.splitlines()[-2:]
    assert answer.code == code
    assert error.startswith("error: ")
    assert message in error
    assert told.startswith("hint: ")
    assert hint in told
    assert answer.out == ""
    assert "Traceback" not in answer.err


def test_help_begins_with_examples_and_loads_nothing_heavy():
    program = (
        "import sys; sys.argv = ['ita', '--help']\n"
        "from ita_pipeline.cli import main\n"
        "try: main()\n"
        "except SystemExit as end: assert not end.code\n"
        "heavy = {'torch', 'transformers', 'numpy', 'cv2', 'pydantic', 'yaml', 'PIL', 'datasets', 'sqlite3'}\n"
        "print(sorted(heavy & set(sys.modules)), file=sys.stderr)\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stderr == "[]\n"
    lines = [line.strip() for line in done.stdout.splitlines() if line.strip()]
    assert lines[0].startswith("Usage: ita")
    assert lines[1:3] == ["ita extract images/", "ita train --dataset example"]
    assert "130 interrupted" in " ".join(lines)


def test_no_command_is_help_and_so_is_a_group_alone():
    for arguments in ([], ["data"], ["cache"], ["config"]):
        answer = ita_here(*arguments)
        assert (answer.code, answer.err) == (2, "")
        assert "Commands" in answer.out


def test_every_command_has_an_example_in_its_help():
    from ita_pipeline.cli import app, command_names

    commands = [[name] for name in command_names(app)]
    commands += [
        [group.name or "", name] for group in app.registered_groups for name in command_names(group.typer_instance)
    ]
    for command in commands:
        answer = ita_here(*command, "--help")
        assert answer.code == 0
        assert re.search(rf"^ *(cat .* \| )?ita {' '.join(command)}\b", answer.out, re.MULTILINE), command


def terminal(arguments: Sequence[str], columns: int, code: int = 0, **environment: str) -> str:
    """What a terminal of so many columns shows of a command that ends with this code."""
    leader, follower = pty.openpty()
    env = {**os.environ, "TERM": "xterm-256color", "COLUMNS": str(columns), **environment}
    process = subprocess.Popen([PROGRAM, *arguments], stdout=follower, stderr=follower, stdin=follower, env=env)
    os.close(follower)
    shown = b""
    while True:
        try:
            part = os.read(leader, 65536)
        except OSError:  # the other end is closed
            break
        if not part:
            break
        shown += part
    os.close(leader)
    assert process.wait(60) == code
    return shown.decode().replace("\r\n", "\n")


def test_colours_are_left_out_where_they_are_not_wanted():
    assert "\x1b[" in terminal(["--help"], 80)
    assert "\x1b[" not in terminal(["--help"], 80, NO_COLOR="1")


def test_a_narrow_terminal_gets_lines_in_place_of_a_table():
    wide, narrow = terminal(["data", "stats", "example"], 80), terminal(["data", "stats", "example"], 30)
    assert re.search(r"^posts +36 +12 +12$", wide, re.MULTILINE)
    assert "posts\n  train  36\n  dev    12\n  test   12\n" in narrow
    assert "ita extract images/" in terminal(["--help"], 40)


@pytest.mark.parametrize("columns", [40, 80])
def test_help_and_data_fit_the_terminal(columns: int):
    for arguments in (["--help"], ["extract", "--help"], ["data", "stats", "example"]):
        shown = re.sub(r"\x1b\[[0-9;]*m", "", terminal(arguments, columns))
        # An option with all that it can be is never broken.
        wide = [line for line in shown.splitlines() if len(line) > columns and not line.startswith("  --")]
        assert wide == []


def test_no_colour_reaches_data_and_errors_on_a_terminal():
    assert "\x1b" not in terminal(["data", "stats", "example"], 80, NO_COLOR="1")
    assert "\x1b" not in terminal(["extract", "gone"], 80, 2, NO_COLOR="1")


def test_a_terminal_sees_how_far_each_stage_is_how_fast_and_how_long_it_takes_yet(images: Path):
    shown = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", terminal(["extract", "images", *BUNDLED, "--stage", "ocr"], 80))
    assert re.search(r"ocr ━+ +0/\d+ –/s -:--:--", shown)
    assert re.search(r"ocr ━+ +(\d+)/\1 \d+\.\d/s 0:00:00", shown)


def test_nothing_that_steers_a_terminal_goes_into_a_pipe(images: Path):
    for arguments in (["--help"], ["extract", "images", *BUNDLED, "--stage", "ocr"], ["data", "list"], ["extrct"]):
        answer = ita(*arguments)
        control = [c for c in answer.out + answer.err if ord(c) < 32 and c != "\n"]
        assert control == [], arguments


def test_a_reader_that_has_enough_ends_it_quietly(images: Path):
    assert ita_here("extract", "images", *BUNDLED, "--stage", "ocr").code == 0
    for command in ("config show --preset bundled --origin", "why images/a.png --preset bundled --stage ocr"):
        line = f"{PROGRAM} {command} | head -1"
        done = subprocess.run(["bash", "-c", line], capture_output=True, text=True, check=False)
        assert len(done.stdout.splitlines()) == 1
        assert done.stderr in ("", "preset bundled: asked for\n")


@pytest.mark.parametrize(
    ("error", "message", "hint"),
    [
        (
            PermissionError(13, "Permission denied", ".ita/cache"),
            ".ita/cache may not be read or written",
            "chmod u+rwX",
        ),
        (OSError(30, "Read-only file system", "runs"), "runs may not be read or written", "--workspace DIR"),
        (OSError(28, "No space left on device"), "everything finished before is kept", "ita cache gc --dry-run"),
        (FileNotFoundError(2, "No usable temporary directory"), "the system said no: ", "mend that"),
    ],
)
def test_what_the_system_refuses_is_told_with_what_mends_it(
    error: OSError, message: str, hint: str, monkeypatch: pytest.MonkeyPatch, images: Path
):
    def refuse(*_: object) -> None:
        raise error

    monkeypatch.setattr("ita_pipeline.extraction.targets.discover", refuse)
    answer = ita_here("extract", "images", *BUNDLED)
    told, mends = answer.err.splitlines()[-2:]
    assert answer.code == 3
    assert told.startswith("error: ")
    assert message in told
    assert mends.startswith("hint: ")
    assert hint in mends


def test_a_folder_that_was_removed_meanwhile_is_told():
    gone = Path("gone")
    gone.mkdir()
    line = f"cd gone && rmdir ../gone && {PROGRAM} status --preset bundled"
    done = subprocess.run(["bash", "-c", line], capture_output=True, text=True, check=False)
    assert done.returncode in (2, 3)
    assert "Traceback" not in done.stderr
    assert done.stderr.splitlines()[-1].startswith("hint: ")


def test_a_pipe_gets_the_table_whatever_the_columns():
    answer = ita("data", "stats", "example", COLUMNS="20")
    assert re.search(r"^posts +36 +12 +12$", answer.out, re.MULTILINE)


def test_a_reader_that_goes_away_is_no_error_to_read_about():
    command = f"{PROGRAM} config show --preset bundled --json | true; exit ${{PIPESTATUS[0]}}"
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, check=False)
    assert done.returncode in (0, 1)
    assert "Traceback" not in done.stderr
    assert "BrokenPipe" not in done.stderr


def test_data_goes_to_stdout_and_everything_else_to_stderr(images: Path):
    answer = ita_here("extract", "images", *BUNDLED, "--stage", "ocr")
    assert answer.out.splitlines()[0].split() == ["stage", "fresh", "done", "now", "failed", "seconds"]
    assert answer.err == "preset bundled: asked for\n"


def test_quiet_says_only_data_and_what_went_wrong(images: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("ITA_QUIET", "")
    for arguments in (["--quiet", "extract", "images"], ["extract", "images", "-q"]):
        monkeypatch.setenv("ITA_QUIET", "")
        answer = ita_here(*arguments, *BUNDLED, "--stage", "ocr")
        assert (answer.code, answer.err) == (0, "")
        assert answer.out.startswith("stage")
    refused = ita_here("extract", "gone", "--quiet").err
    assert refused.startswith("error: there is no folder gone, and no dataset of that name\nhint: ")


def test_debug_shows_where_and_keeps_the_code(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("ITA_DEBUG", "")
    assert "Traceback" not in ita_here("extract", "gone").err
    for arguments in (["--debug", "extract", "gone"], ["extract", "gone", "--debug"]):
        answer = ita_here(*arguments)
        assert answer.code == 2
        assert answer.err.startswith("Traceback")
        assert answer.err.splitlines()[-2] == "error: there is no folder gone, and no dataset of that name"


@pytest.mark.parametrize(
    ("typed", "offered"),
    [
        ("ita da", {"data"}),
        ("ita data ch", {"check"}),
        ("ita extract --preset b", {"bundled"}),
        ("ita data check twitter", {"twitter15", "twitter17"}),
        ("ita extract --st", {"--stage"}),
    ],
)
def test_the_shell_completes_commands_options_and_names(typed: str, offered: set[str]):
    words = {"COMP_WORDS": typed, "COMP_CWORD": str(len(typed.split()) - 1), "_ITA_COMPLETE": "complete_bash"}
    assert set(ita(**words).out.split()) == offered


def test_bash_completes_with_the_script_that_it_is_given():
    script = """
        source <(ita --show-completion bash)
        complete -p ita
        for words in "ita ext" "ita cache ver" "ita status --exit" "ita train --dataset example --preset bun"; do
            COMP_WORDS=($words); COMP_CWORD=$((${#COMP_WORDS[@]} - 1)); COMPREPLY=()
            _ita_completion ita
            echo "${COMPREPLY[@]}"
        done
    """
    path = f"{Path(PROGRAM).parent}{os.pathsep}{os.environ['PATH']}"
    environment = {**os.environ, "PATH": path, "_TYPER_COMPLETE_TEST_DISABLE_SHELL_DETECTION": "1"}
    done = subprocess.run(["bash", "-c", script], capture_output=True, text=True, env=environment, check=False)
    registered, *offered = done.stdout.splitlines()
    assert "-F _ita_completion ita" in registered, done.stderr
    assert offered == ["extract", "verify", "--exit-code", "bundled"]


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_can_be_had_for_every_shell(shell: str):
    answer = ita("--show-completion", shell, _TYPER_COMPLETE_TEST_DISABLE_SHELL_DETECTION="1")
    assert answer.code == 0
    assert "_ITA_COMPLETE" in answer.out


@pytest.mark.parametrize(
    "arguments",
    [
        ("export", "cache.zip"),
        ("export", "cache.ZIP", "--stage", "ocr"),
        ("import",),
        ("import", "cache.zip"),
        ("import", "cache.zip", "s3://bucket/cache", "--workspace", "other"),
    ],
)
def test_zip_archives_are_refused_with_the_way_that_takes_their_place(arguments: tuple[str, ...]):
    answer = ita_here("cache", *arguments)
    assert answer.code == 2
    assert "no longer reads or writes ZIP archives" in answer.err
    assert "hint: ita cache push FOLDER_OR_URL" in answer.err
    assert "ita cache pull FOLDER_OR_URL" in answer.err
    assert "Traceback" not in answer.err
    assert not Path("cache.zip").exists()
