"""A small true stage, pictures to feed it, and the command line as a person calls it."""

from __future__ import annotations

import io
import os
import subprocess
import sys
from collections.abc import Sequence
from contextlib import ExitStack, redirect_stderr, redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any
from unittest.mock import patch

from PIL import Image, ImageDraw

from ita_pipeline.sources.local import LocalFile, hash_file
from ita_pipeline.sources.refs import ImageRef
from stages.base import EXECUTION, SEMANTIC, Failure, Identity, Item, Stage, StageConfig, Value, guarded


class SizeConfig(StageConfig):
    times: Annotated[int, SEMANTIC] = 1
    batch: Annotated[int, EXECUTION] = 2


class SizeValue(Value):
    width: int
    height: int


class SizeStage(Stage[SizeConfig]):
    """Says how large a picture is, and remembers which it was asked for."""

    name = "size"
    version = 1
    config_type = SizeConfig
    value_type = SizeValue

    def __init__(self, config: SizeConfig | None = None) -> None:
        super().__init__(config or SizeConfig())
        self.asked: list[str] = []

    @property
    def batch_size(self) -> int:
        return self.config.batch

    def identity(self) -> Identity:
        return Identity(tools={"ruler": "1"})

    def run(self, items: Sequence[Item]) -> list[Value | Failure]:
        self.asked += [item.name for item in items]
        return [guarded(self.measure, item) for item in items]

    def measure(self, item: Item) -> SizeValue:
        picture = item.picture()
        return SizeValue(width=picture.width * self.config.times, height=picture.height * self.config.times)


class DoubleStage(SizeStage):
    """Reads what `size` found."""

    name = "double"

    @property
    def reads(self) -> tuple[str, ...]:
        return ("size",)

    def measure(self, item: Item) -> SizeValue:
        size = item.upstream["size"]
        assert isinstance(size, SizeValue)
        return SizeValue(width=2 * size.width, height=2 * size.height)


def draw(path: Path, colour: str = "red", size: tuple[int, int] = (64, 48)) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size, colour).save(path)
    return path


def draw_sign(path: Path, text: str) -> None:
    """Draw an image with a text that the OCR reads."""
    path.parent.mkdir(parents=True, exist_ok=True)
    picture = Image.new("RGB", (200, 60), "white")
    ImageDraw.Draw(picture).text((10, 10), text, "black", font_size=28)
    picture.save(path)


def ref(path: Path) -> ImageRef:
    return ImageRef(hash_file(path), LocalFile(path))


def draw_images(*names: str) -> list[ImageRef]:
    """Draw images into the folder `in`, each one pixel wider than the one before."""
    return [ref(draw(Path(f"in/{name}.png"), size=(number + 1, 5))) for number, name in enumerate(names)]


@dataclass(frozen=True)
class Answer:
    """What a person gets from a command."""

    code: int
    out: str
    err: str


def ita(*arguments: str | Path, stdin: str = "", **environment: str) -> Answer:
    """Run the real command in the current folder, in a process of its own."""
    env: dict[str, Any] = {**os.environ, **environment}
    done = subprocess.run(
        [str(Path(sys.executable).parent / "ita"), *map(str, arguments)],
        input=stdin,
        capture_output=True,
        text=True,
        env=env,
        timeout=600,
        check=False,
    )
    return Answer(done.returncode, done.stdout, done.stderr)


def ita_here(*arguments: str | Path, stdin: str = "", **environment: str) -> Answer:
    """Run the command in this process, which saves loading the libraries anew; what is heavy is loaded once."""
    from ita_pipeline.cli import main

    out, err, code = io.StringIO(), io.StringIO(), 0
    with ExitStack() as stack:
        stack.enter_context(patch.object(sys, "argv", ["ita", *map(str, arguments)]))
        stack.enter_context(patch.object(sys, "stdin", io.TextIOWrapper(io.BytesIO(stdin.encode()), "utf-8")))
        stack.enter_context(patch.dict(os.environ, environment))
        stack.enter_context(redirect_stdout(out))
        stack.enter_context(redirect_stderr(err))
        try:
            main()
        except SystemExit as end:
            code = int(end.code or 0)
    return Answer(code, out.getvalue(), err.getvalue())
