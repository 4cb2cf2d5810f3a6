"""What the site has beyond `docs/`: pages that lie elsewhere, formulas without a script, a navigation that fits.

MkDocs calls these functions by their names (`hooks:` in mkdocs.yml).
"""

from __future__ import annotations

import html
import os
import re
from pathlib import Path
from typing import Any

from latex2mathml.converter import convert
from mkdocs.structure.files import File, Files

ROOT = Path(__file__).parent.parent
# Pages of the site that lie elsewhere in the checkout, where people look for them.
ELSEWHERE = {
    "README.md": "index.md",
    "CONTRIBUTING.md": "contributing.md",
    "CHANGELOG.md": "changelog.md",
    "examples/README.md": "examples.md",
    "examples/stage-qr/README.md": "example-stage.md",
}
PICTURES = "examples/posts/images"
LINK = re.compile(r"(!?)\[([^\]]*)\]\(([^)\s]+)\)")
SOURCE = re.compile(r'(<img src=")([^"]+)(")')
DISPLAY = re.compile(r'<div class="arithmatex">\\\[(.*?)\\\]</div>', re.DOTALL)
NUMBER = re.compile(r"(?<=>)[−+]?[\d.]+ (?:± [\d.]+|m?s|[MG]B)(?=</)")
INLINE = re.compile(r'<span class="arithmatex">\\\((.*?)\\\)</span>', re.DOTALL)


def on_config(config: Any) -> Any:
    """Leave pages out of the navigation that are not there, and add those that are not named."""
    there = {path.name for path in (ROOT / "docs").glob("*.md")} | set(ELSEWHERE.values())
    for section in config.nav:
        for title, pages in section.items():
            section[title] = [page for page in pages if file_of(page) in there]
            there -= {file_of(page) for page in pages}
    if there:
        config.nav.append({"More": sorted(there)})
    return config


def file_of(entry: str | dict[str, str]) -> str:
    """The page of an entry of the navigation, with or without a title."""
    return entry if isinstance(entry, str) else next(iter(entry.values()))


def on_files(files: Files, config: Any) -> Files:
    """Add the pages and pictures that lie elsewhere, as if they lay in `docs/`."""
    for source, page in ELSEWHERE.items():
        text = (ROOT / source).read_text("utf-8")
        files.append(File.generated(config, page, content=moved(text, source)))
    readme = (ROOT / "README.md").read_text("utf-8")
    for _, name, _ in SOURCE.findall(readme):
        if (ROOT / name).is_file():
            files.append(File.generated(config, name, abs_src_path=str(ROOT / name)))
    return files


def on_page_markdown(markdown: str, page: Any, **_: Any) -> str:
    own = page.file.src_uri in ELSEWHERE.values()
    return markdown if own else moved(markdown, f"docs/{page.file.src_uri}")


def moved(text: str, source: str) -> str:
    """Links as they have to be on the site; one to a file that is no page keeps its words and loses its link."""

    def link(found: re.Match[str]) -> str:
        mark, words, target = found.groups()
        place = site_place(target, source)
        return found[0] if place == target else f"{mark}[{words}]({place})" if place else words

    return LINK.sub(link, text)


def site_place(target: str, source: str) -> str:
    """Where a link of a page leads on the site, which is flat; nothing where it leads out of it."""
    path, mark, anchor = target.partition("#")
    if re.match(r"[a-z]+:", target) or not path:
        return target
    name = os.path.normpath(os.path.join(os.path.dirname(source), path))  # noqa: PTH118, PTH120
    if name.startswith("docs/") and (ROOT / name).is_file():
        return name.removeprefix("docs/") + mark + anchor
    return ELSEWHERE[name] + mark + anchor if name in ELSEWHERE else ""


def on_page_content(content: str, **_: Any) -> str:
    """LaTeX between dollar signs, which GitHub shows as it is, as MathML, which browsers show without a script.

    In tables, a number stays on one line with its deviation or unit.
    """

    def formula(display: str) -> Any:
        return lambda found: convert(html.unescape(found[1]).strip(), display=display)

    content = NUMBER.sub(lambda found: found[0].replace(" ", "\u00a0"), content)
    content = INLINE.sub(formula("inline"), content)
    return DISPLAY.sub(lambda found: f'<div class="formula">{formula("block")(found)}</div>', content)
