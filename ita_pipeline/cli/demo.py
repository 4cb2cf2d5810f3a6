"""`ita demo`: a local page to try a run on."""

from __future__ import annotations

import webbrowser
from pathlib import Path
from typing import Annotated

import typer

import ita_pipeline as ita
from ita_pipeline.cli import options as opts
from ita_pipeline.cli.console import print_message, print_note, resumable
from ita_pipeline.core.errors import ExitCode


def demo(
    run: opts.RunName,
    host: Annotated[
        str, typer.Option(metavar="ADDRESS", help="Address to listen on; 0.0.0.0 accepts other machines")
    ] = "127.0.0.1",
    port: Annotated[
        int, typer.Option(min=0, max=65535, metavar="N", help="Port to listen on; 0 picks a free one")
    ] = 8765,
    runtime: opts.Runtime = "auto",
    show: opts.OpenPage = False,
    yes: opts.Yes = False,
    workspace: opts.WorkspaceFolder = Path(),
) -> None:
    """Serve a local page for trying a run on your own texts and pictures. Ctrl-C stops it.

    ita demo example --open

    curl -F text="Lunch in Marlow" -F image=@sign.jpg http://127.0.0.1:8765/predict
    """
    options = opts.build_options(workspace=workspace, consent=yes, runtime=runtime)

    def ready(address: str, local: bool, notes: tuple[str, ...]) -> None:
        if not local:
            reach = f"anyone who can reach this machine can use {address}"
            print_message(f"warning: {reach}, without a password and without encryption")
        for line in notes:
            print_message(line)
        print(address, flush=True)
        print_note(f"press Ctrl-C to stop; for JSON: curl -F text='…' -F image=@x.jpg {address}predict")
        if show:
            webbrowser.open(address)

    with resumable("stopped; texts and pictures were not kept", "start it again with", ExitCode.DONE):
        ita.demo(run, host, port, options, ready)
