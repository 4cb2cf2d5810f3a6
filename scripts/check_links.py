"""Check the relative links in Markdown files: targets and anchors exist, and a link to a page is named after it."""

from __future__ import annotations

import re
import sys
from pathlib import Path

LINK = re.compile(r"\[([^\]]*)\]\(([^)\s]+)\)")
HEADING = re.compile(r"^#+ +(.+)$", re.MULTILINE)


def headings(file: Path) -> list[str]:
    return HEADING.findall(re.sub(r"^```.*?^```", "", file.read_text("utf-8"), flags=re.MULTILINE | re.DOTALL))


def anchor_of(heading: str) -> str:
    return re.sub(r"[^\w\- ]", "", heading.lower()).strip().replace(" ", "-")


def problems(file: Path) -> list[str]:
    """Describe each broken link of a page, and each link whose text is not the title of the page it leads to."""
    lines = []
    for text, target in LINK.findall(file.read_text("utf-8")):
        if re.match(r"[a-z]+:", target):
            continue
        path, _, anchor = target.partition("#")
        page = (file.parent / path).resolve() if path else file.resolve()
        is_page = page.suffix == ".md"
        if not page.exists() or (anchor and is_page and anchor not in map(anchor_of, headings(page))):
            lines.append(f"{file}: {target} does not exist")
        elif is_page and not anchor and not path.endswith(("README.md", "NOTICE.md")):
            title = headings(page)[0]
            if text.lower() != title.lower():
                lines.append(f"{file}: the link to {target} is called “{text}”, and the page “{title}”")
    return lines


def main(names: list[str]) -> int:
    files = [
        f for name in names for f in (sorted(Path(name).rglob("*.md")) if Path(name).is_dir() else [Path(name)])
    ]
    found = [line for file in files for line in problems(file)]
    print("\n".join(found) or f"{len(files)} pages, no broken links")
    return bool(found)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
