"""Check that every relative link in Markdown files leads to a file, and every anchor to a heading."""

from __future__ import annotations

import re
import sys
from pathlib import Path

LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
HEADING = re.compile(r"^#+ +(.+)$", re.MULTILINE)


def anchors(file: Path) -> set[str]:
    titles = HEADING.findall(file.read_text("utf-8"))
    return {re.sub(r"[^\w\- ]", "", title.lower()).strip().replace(" ", "-") for title in titles}


def broken(file: Path) -> list[str]:
    found = []
    for target in LINK.findall(file.read_text("utf-8")):
        if re.match(r"[a-z]+:", target):
            continue
        path, _, anchor = target.partition("#")
        place = (file.parent / path).resolve() if path else file.resolve()
        if not place.exists() or (anchor and place.suffix == ".md" and anchor not in anchors(place)):
            found.append(f"{file}: {target} leads nowhere")
    return found


def main(names: list[str]) -> int:
    files = [
        f for name in names for f in (sorted(Path(name).rglob("*.md")) if Path(name).is_dir() else [Path(name)])
    ]
    wrong = [line for file in files for line in broken(file)]
    print("\n".join(wrong) or f"{len(files)} pages, every link leads somewhere")
    return bool(wrong)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
