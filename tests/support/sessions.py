"""Sessions on documentation pages: their commands, what is shown of their output, and whether that is so."""

from __future__ import annotations

import re
import shlex
import subprocess
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from tests.support.fakes import ita_here

SHELL = ("|", ">", "*", "$", "&", ";", "#")
ELISION = "[…]"
# What may differ between two runs or machines, each with what stands in for it in both texts.
VARIES = (
    (r"\b[0-9a-f]{16,64}\b", "DIGEST"),
    (r"(?<=  )[0-9a-f]{8}(?=  )", "KEY"),
    (r"\b\d+\.\d s\b", "TIME"),  # a forecast
    (r"(?<= )\d+\.\d$", "SECONDS"),  # the last column of a table of stages
    (r"time +[\d.]+ s", "time TIME"),
    (r"\b\d+\.\d\d\d?\b", "SCORE"),
    (r"epoch \d+ of \d+", "epoch N"),
    (r"the hub does not answer|HF_HUB_OFFLINE is set", "NO HUB"),
    (r"line \d+", "line N"),
    (r"tesseract = [\d.]+", "tesseract = VERSION"),
    (r"traineddata = \w+", "traineddata = DIGEST"),
    (r'"confidence": [\d.]+', '"confidence": SCORE'),
    # What a model finds depends on how long it was trained.
    (r'"mentions": \[.*\]', '"mentions": MENTIONS'),
)
# Mentions that a model found, what a slow machine prints every 30 seconds, and advice after a short training.
LEFT_OUT = re.compile(
    r" +(\d+–\d+ .*|\[\d+, \d+, \d+, \d+\], .*|no mentions)|\w+: \d+ of \d+, [\d.]+/s, .*|hint: F1 is 0\.00; .*"
)


@dataclass(frozen=True)
class Step:
    """A command and the lines shown below it."""

    command: str
    shown: tuple[str, ...]


def steps(page: str) -> Iterator[Step]:
    """Every command of the page's `console` blocks, in order."""
    for block in re.findall(r"^```console\n(.*?)^```$", page, re.MULTILINE | re.DOTALL):
        for part in re.split(r"^\$ ", block, flags=re.MULTILINE)[1:]:
            command, *shown = part.rstrip("\n").split("\n")
            yield Step(command, tuple(shown))


def said_by(command: str) -> tuple[int, str]:
    """Exit code, and what a terminal would show: notes first, then data."""
    if command.startswith("ita ") and not any(sign in command for sign in SHELL):
        answer = ita_here(*shlex.split(command)[1:])
        return answer.code, answer.err + answer.out
    both = subprocess.STDOUT
    done = subprocess.run(["bash", "-c", command], stdout=subprocess.PIPE, stderr=both, text=True, check=False)
    return done.returncode, done.stdout


def plain_lines(lines: Sequence[str]) -> list[str]:
    """Lines with what varies replaced, columns one space apart, and without the mentions that a model found."""
    kept = []
    for line in lines:
        if LEFT_OUT.fullmatch(line):
            continue
        for pattern, name in VARIES:
            line = re.sub(pattern, name, line)
        kept.append(re.sub(r"  +", " ", line).strip())
    return kept


def fits(shown: Sequence[str], said: Sequence[str]) -> bool:
    """Whether output is as shown; `[…]` is any lines, or within a line anything."""
    pattern = ""
    for line in plain_lines(shown):
        inside = ".*".join(re.escape(part) for part in line.split(ELISION))
        pattern += r"(?:.*\n)*?" if line == ELISION else f"{inside}\n"
    return re.fullmatch(pattern, "".join(f"{line}\n" for line in plain_lines(said))) is not None
