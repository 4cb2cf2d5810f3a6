"""`ita doctor`: whether this machine has what the project needs."""

from __future__ import annotations

import json
import sys
from dataclasses import asdict
from pathlib import Path

import typer

from ita_pipeline import api
from ita_pipeline.cli import options as opts
from ita_pipeline.cli.console import print_line
from ita_pipeline.core.errors import ExitCode
from ita_pipeline.core.text import clean_line


def doctor(workspace: opts.WorkspaceFolder = Path(), as_json: opts.AsJson = False) -> None:
    """Check Python, torch, Tesseract, models, disk and memory, and show how to fix problems.

    Contacts no model hub. Exits with 1 if a check is marked FAIL.

    ita doctor

    ita doctor --json | jq .clean
    """
    diagnoses: list[dict[str, str]] = []
    failed = False
    for item in api.doctor.diagnose(workspace):
        failed |= item.verdict is api.doctor.Verdict.FAIL
        diagnoses.append(asdict(item))
        if not as_json:
            print_line(f"{item.verdict:<4}  {item.name:<14}  {clean_line(item.what)}", sys.stdout, hang=22)
            if item.hint:
                print_line(f"{'':22}hint: {clean_line(item.hint)}", sys.stdout, hang=22)
    if as_json:
        print(json.dumps({"schema": "ita.doctor/1", "checks": diagnoses, "clean": not failed}))
    if failed:
        raise typer.Exit(ExitCode.NOT_CLEAN)
