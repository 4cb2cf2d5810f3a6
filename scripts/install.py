"""Install the project into the environment of this Python: with uv, or with pip where uv is not available.

usage: .venv/bin/python scripts/install.py BASE EXTRAS

BASE is the Python that the environment was made with. If it has CPU builds of torch and torchvision, these are
linked into the environment, as torch from PyPI brings 3 GB of CUDA libraries.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

TORCH = ("torch", "torchvision")

# What uv calls the settings of pip that it does not read itself.
UV_NAMES = {
    "index-url": "UV_DEFAULT_INDEX",
    "extra-index-url": "UV_INDEX",
    "find-links": "UV_FIND_LINKS",
    "cert": "SSL_CERT_FILE",
}

LIST_FILES = """
import json, sys
from importlib.metadata import PackageNotFoundError, distribution
try:
    found = [distribution(name) for name in sys.argv[1:]]
except PackageNotFoundError:
    found = []
print(json.dumps([[one.version, [[str(one.locate_file(f)), str(f)] for f in one.files or ()]] for one in found]))
"""


def link_torch(base: str) -> bool:
    """Link the CPU builds of torch and torchvision of another Python into this environment, if it has both."""
    listed = subprocess.run([base, "-c", LIST_FILES, *TORCH], capture_output=True, text=True, check=True)
    found: list[tuple[str, list[tuple[str, str]]]] = json.loads(listed.stdout)
    if len(found) < len(TORCH) or not all("+cpu" in version for version, _ in found):
        return False
    packages = Path(sysconfig.get_path("platlib"))
    for source, name in [file for _, files in found for file in files if not file[1].startswith("..")]:
        place = packages / name
        if Path(source).is_file() and not place.exists():
            place.parent.mkdir(parents=True, exist_ok=True)
            _link(source, place)
    print(f"using torch {found[0][0]} of {base}")
    return True


def _link(source: str, place: Path) -> None:
    try:
        os.link(source, place)
    except OSError:  # another file system
        shutil.copy2(source, place)


def uv_settings() -> dict[str, str]:
    """Return the settings of pip as variables for uv; those that are set for uv have precedence."""
    listed = subprocess.run([sys.executable, "-m", "pip", "config", "list"], capture_output=True, text=True)
    settings = re.findall(r"^[^.=]+\.([\w-]+)='(.*)'$", listed.stdout, re.MULTILINE)
    names = {UV_NAMES[name]: value for name, value in settings if name in UV_NAMES}
    # As pip does, take the best version of all indexes.
    return {"UV_INDEX_STRATEGY": "unsafe-best-match", **names, **os.environ}


def main(base: str, extras: str) -> int:
    """Install, and return the exit code of the installer."""
    uv = Path(sys.executable).with_name("uv")
    pip = [sys.executable, "-m", "pip", "install", "--quiet"]
    constraints = Path("constraints.txt").read_text().splitlines()
    if link_torch(base):
        constraints = [line for line in constraints if line.partition("==")[0] not in TORCH]
    pinned = Path(sys.prefix, "constraints.txt")
    pinned.write_text("\n".join(constraints) + "\n")
    wanted = ["--constraint", str(pinned), "--editable", f".[{extras}]"]
    if uv.exists() or subprocess.run([*pip, "uv"]).returncode == 0:
        install = [str(uv), "pip", "install", "--quiet", "--python", sys.executable, *wanted]
        return subprocess.run(install, env=uv_settings()).returncode
    # The pip that Debian 12 ships cannot build packages that come as source only, such as seqeval.
    subprocess.run([*pip, "--upgrade", "pip"], check=True)
    return subprocess.run([*pip, *wanted]).returncode


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
