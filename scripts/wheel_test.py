"""Build the wheel, install it into an empty environment as anybody would, and extract pictures there.

The environment knows nothing of this checkout. `make wheel-test` calls this; it downloads what a user would.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import venv
from pathlib import Path

ROOT = Path(__file__).parent.parent


# Neither the checkout nor the settings of the caller.
CLEAN = {n: v for n, v in os.environ.items() if not n.startswith("ITA_") and n != "PYTHONPATH"}


def run(*command: str | Path, cwd: Path) -> None:
    print("$", *[str(part) for part in command], flush=True)
    subprocess.run([str(part) for part in command], cwd=cwd, env=CLEAN, check=True)


def main() -> None:
    with tempfile.TemporaryDirectory() as name:
        place = Path(name)
        run(sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", place, ROOT, cwd=place)
        (wheel,) = place.glob("*.whl")
        venv.create(place / "env", with_pip=True)
        pip = [place / "env/bin/python", "-m", "pip", "--quiet", "install"]
        run(*pip, "--constraint", ROOT / "constraints.txt", f"{wheel}[bundled]", cwd=place)
        ita = place / "env/bin/ita"
        find = "import ita_pipeline; print(ita_pipeline.__path__[0])"
        python = place / "env/bin/python"
        folder = subprocess.check_output([python, "-c", find], cwd=place, env=CLEAN, text=True).strip()
        assert Path(folder).is_relative_to(place / "env"), f"the checkout was found: {folder}"
        run(ita, "--version", cwd=place)
        run(ita, "doctor", cwd=place)
        run(ita, "extract", Path(folder) / "examples/posts/images", "--preset", "bundled", cwd=place)
        run(ita, "data", "stats", "example", cwd=place)
        print(f"{wheel.name} works in an empty environment")


if __name__ == "__main__":
    main()
