"""The file that `ita init` writes: every setting is a comment, so that it changes nothing until a person does."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Annotated, Any

import typer

from ita_pipeline.cli.console import columns, note, say
from ita_pipeline.cli.options import AsJson, Assignments
from ita_pipeline.core.errors import UsageError, nearest

TEMPLATE = """\
# Settings of ita-pipeline for this folder. Everything here is a comment: take away a "# " and change the value.
#
# What goes over what: a flag, --set, the environment (ITA_PRESET, ITA_OCR__PAGE_MODE), this file, your own file
# (~/.config/ita/config.yaml), the preset or experiment, the default.
# ita config show --origin says where each value is from.

# Models: bundled needs no hub, paper is the one for results, auto takes paper where it can. Or a YAML file.
# preset: bundled

# Where datasets lie, and where .ita/ and runs/ are kept.
# data: data
# workspace: .

# Text encoder: minilm, a model of the hub, or a folder.
# encoder: FacebookAI/xlm-roberta-large

# Languages of the words in the pictures; each has a package of Tesseract.
# ocr:
#   languages: eng+deu
#   page_mode: lines

# What of a picture is appended to its post. None of these runs a stage again.
# contexts:
#   order: [objects, caption, ocr, extra]
#   object_score: 0.3
#   objects: 8
#   captions: 1
#   word_confidence: 0.6
#   words: 100

# What one picture may take before it fails alone.
# limits:
#   megabytes: 25
#   megapixels: 40
#   seconds: 300
#   memory_megabytes: 4096

# Training, over the experiment of the dataset.
# training:
#   epochs: 10
#   seed: 1
"""


app = typer.Typer(help="Settings: show them, and where each is from.", no_args_is_help=True)


@app.command()
def show(
    origin: Annotated[bool, typer.Option("--origin", help="Say where each value is from.")] = False,
    dataset: Annotated[str | None, typer.Option(help="Show the training settings of this dataset.")] = None,
    # Under names of their own: the shared ones come with what files and environment say, as if given by hand.
    preset_flag: Annotated[str | None, typer.Option("--preset", help="As if given to a command.")] = None,
    encoder_flag: Annotated[str | None, typer.Option("--encoder", help="As if given to a command.")] = None,
    assignments: Assignments = None,
    as_json: AsJson = False,
) -> None:
    """Show every setting that commands would use here, in the form of --set.

    A flag goes over --set, then the environment (ITA_PRESET, ITA_OCR__PAGE_MODE), ita.yaml, your own file, the
    preset or experiment, and the default.

    ita config show --origin

    ita config show --preset paper --set ocr.page_mode=6 --origin
    """
    from ita_pipeline.api.config import settings
    from ita_pipeline.core.config_layers import OPTION_NAMES, unknown_variables

    flags = {
        name: value for name, value in (("preset", preset_flag), ("encoder", encoder_flag)) if value is not None
    }
    found = settings(flags, tuple(assignments or ()), dataset)
    for variable in unknown_variables(os.environ):
        known = [f"ITA_{name.upper()}" for name in OPTION_NAMES]
        hint = nearest(variable, known) or "sections take two underscores: ITA_OCR__…"
        say(f"{variable} is no setting; {hint}")
    if as_json:
        rows = [{"name": one.name, "value": one.value, "origin": one.origin} for one in found.all]
        print(json.dumps({"schema": "ita.config/1", "preset": found.why, "settings": rows}))
        return
    note(found.why)
    lines = [(f"{one.name}={written(one.value)}", one.origin if origin else "") for one in found.all]
    print(columns(lines))


def written(value: Any) -> str:
    """A value as `--set` takes it."""
    return value if isinstance(value, str) else json.dumps(value)


def init() -> None:
    """Write a commented ita.yaml into this folder; one that is there is never touched.

    ita init
    """
    from ita_pipeline.core.config_layers import PROJECT_FILE

    pass

    try:
        with Path(PROJECT_FILE).open("x", encoding="utf-8") as file:
            file.write(TEMPLATE)
    except FileExistsError:
        hint = "ita config show --origin says what it sets"
        raise UsageError(f"{PROJECT_FILE} is there already and stays as it is", hint) from None
    note(f"wrote {PROJECT_FILE}; all of it is comments, to be changed by you")
