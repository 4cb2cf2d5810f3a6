"""The page: everything that a post, a picture or a file said goes through the one sink below.

Templates escape every expression; the data for the script is JSON with all of HTML's characters written as
`\\u003c` and the like, and the script puts it on the page as text, never as markup. Both first make visible what
cannot be seen. The page's own policy allows its one script and its one style by their digests, pictures of the
kind that it has, and nothing else: no request to anywhere.
"""

from __future__ import annotations

import base64
import functools
import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ita_pipeline.core.files import write_atomically
from ita_pipeline.core.text import escape_hidden, map_texts
from ita_pipeline.reports.blocks import RunPart
from ita_pipeline.reports.gallery import Gallery
from stages.base import Frozen

if TYPE_CHECKING:
    from jinja2 import Environment


DATA_ONLY = "data:"

# A page opened as a file has no origin that 'self' could mean in every browser.
FOLDER_TOO = "data: 'self' file:"

REPORT = ("elements", "state", "picture", "post", "card", "show")


@dataclass(frozen=True, slots=True)
class Page:
    """What a page holds. `notes` are remarks about how it came to be."""

    title: str
    gallery: Gallery
    run: RunPart | None = None
    notes: tuple[str, ...] = ()


def write_page(page: Page, file: Path, pictures_beside: bool) -> None:
    """Write a page, whole or not at all.

    Raises:
        OSError: the disk is full or fails.
    """
    write_atomically(file, rendered(page, pictures_beside))


def rendered(page: Page, pictures_beside: bool) -> str:
    rules = {"img-src": FOLDER_TOO if pictures_beside else DATA_ONLY}
    values = {"title": page.title, "page": page, "gallery": page.gallery}
    return render(Sheet("page.html", REPORT), page.gallery, rules, values)


@dataclass(frozen=True, slots=True)
class Sheet:
    """A template, and the parts that its one script and its one style are put together from."""

    template: str
    scripts: tuple[str, ...]
    styles: tuple[str, ...] = ("page",)


def render(sheet: Sheet, data: Frozen, rules: Mapping[str, str], values: Mapping[str, Any]) -> str:
    """A page with `data` for its script. `rules` are what its policy allows beyond its own script and style."""
    style, script = assets(sheet)
    policy = {
        "default-src": "'none'",
        **rules,
        "script-src": f"'{digest(script)}'",
        "style-src": f"'{digest(style)}'",
        "base-uri": "'none'",
        "form-action": "'none'",
    }
    said = "; ".join(f"{name} {value}" for name, value in policy.items())
    template = environment().get_template(sheet.template)
    return template.render(data=data, style=style, script=script, policy=said, **values)


@functools.cache
def environment() -> Environment:
    """The sink: escapes whatever a template is given."""
    from jinja2 import Environment, PackageLoader, StrictUndefined

    made = Environment(
        loader=PackageLoader("ita_pipeline.reports"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=seen,
    )
    made.policies["json.dumps_function"] = as_json
    made.policies["json.dumps_kwargs"] = {}  # what it is given by default is for `json.dumps`
    return made


def seen(value: Any) -> Any:
    ours = hasattr(value, "__html__")
    return escape_hidden(value) if isinstance(value, str) and not ours else value


def as_json(data: Frozen) -> str:
    """The data for the script; of a gallery without the lists to choose from, since the template writes them."""
    if not isinstance(data, Gallery):
        return object_json(data)
    head = object_json(data, {"entries", "filters", "stages", "splits", "sorts"})
    entries = ",".join(object_json(entry) for entry in data.entries)
    return f'{head[:-1]},"entries":[{entries}]}}'


def object_json(model: Frozen, without: set[str] | None = None) -> str:
    text = model.model_dump_json(exclude_defaults=True, exclude=without)
    # Most are plain ASCII without a control character, which JSON would have escaped: nothing in them is hidden.
    if text.isascii() and "\\u" not in text and "\x7f" not in text:
        return text
    content = model.model_dump(mode="json", exclude_defaults=True, exclude=without)
    return json.dumps(map_texts(content, escape_hidden), ensure_ascii=False, separators=(",", ":"))


@functools.cache
def assets(sheet: Sheet) -> tuple[Any, Any]:
    """Our own style, and our own script put together from its parts, as they are written into a page."""
    from markupsafe import Markup

    folder = files("ita_pipeline.reports").joinpath("templates")
    script = "\n".join(folder.joinpath("script", f"{part}.js").read_text("utf-8") for part in sheet.scripts)
    style = "\n".join(folder.joinpath(f"{part}.css").read_text("utf-8") for part in sheet.styles)
    return Markup(style), Markup(f'"use strict";\n{{\n{script}}}\n')


def digest(text: str) -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
