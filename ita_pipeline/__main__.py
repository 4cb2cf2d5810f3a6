"""`python -m ita_pipeline`, which is `ita`: for launchers such as torchrun."""

from __future__ import annotations

from ita_pipeline.cli import main

if __name__ == "__main__":
    main()
