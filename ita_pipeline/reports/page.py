"""The HTML page; all text of posts, pictures and files passes through one escaping environment.

Templates escape every expression. The data for the script is JSON with all of HTML's characters written as
`\\u003c` and the like, and the script inserts it as text, never as markup. Both make hidden characters visible.
The content security policy of the page allows its one script and its one style by their digests, the pictures it
contains, and nothing else: no request to any address.
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
from ita_pipeline.reports.blocks import RunSection
from ita_pipeline.reports.gallery import Gallery
from stages.base import Frozen

if TYPE_CHECKING:
    from jinja2 import Environment
    from markupsafe import Markup


EMBEDDED_IMAGES = "data:"

# A page opened as a file has no origin, so 'self' alone does not allow its folder in every browser.
EMBEDDED_IMAGES_AND_FOLDER = "data: 'self' file:"


@dataclass(frozen=True, slots=True)
class PageTemplate:
    """A template, and the files that are joined into its one script and its one style."""

    template: str
    scripts: tuple[str, ...]
    styles: tuple[str, ...] = ("page",)


REPORT_TEMPLATE = PageTemplate("page.html", ("elements", "state", "picture", "post", "card", "show"))


@dataclass(frozen=True, slots=True)
class Page:
    """The content of a page; `notes` are remarks on how it was made."""

    title: str
    gallery: Gallery
    run: RunSection | None = None
    notes: tuple[str, ...] = ()


def write_page(page: Page, file: Path, pictures_beside: bool) -> None:
    """Write a page atomically; `pictures_beside` means that its thumbnails are files in a folder beside it.

    Raises:
        OSError: the disk is full or fails.
    """
    write_atomically(file, render_page(page, pictures_beside))


def render_page(page: Page, pictures_beside: bool) -> str:
    """Return the HTML of a report."""
    policy = {"img-src": EMBEDDED_IMAGES_AND_FOLDER if pictures_beside else EMBEDDED_IMAGES}
    values = {"title": page.title, "page": page, "gallery": page.gallery}
    return render_template(REPORT_TEMPLATE, page.gallery, policy, values)


def render_template(
    template: PageTemplate, data: Frozen, policy: Mapping[str, str], values: Mapping[str, Any]
) -> str:
    """Return the HTML of a page with `data` for its script.

    `policy` has the rules of the content security policy beyond those for the page's own script and style.
    """
    style, script = _read_assets(template)
    rules = {
        "default-src": "'none'",
        **policy,
        "script-src": f"'{_digest(script)}'",
        "style-src": f"'{_digest(style)}'",
        "base-uri": "'none'",
        "form-action": "'none'",
    }
    security_policy = "; ".join(f"{name} {value}" for name, value in rules.items())
    page = _make_environment().get_template(template.template)
    return page.render(data=data, style=style, script=script, policy=security_policy, **values)


@functools.cache
def _make_environment() -> Environment:
    """Return the one environment for all templates, which escapes every value."""
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=PackageLoader("ita_pipeline.reports"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=_escape_hidden_text,
    )
    environment.policies["json.dumps_function"] = _dump_data
    environment.policies["json.dumps_kwargs"] = {}  # the defaults are arguments of `json.dumps`
    return environment


def _escape_hidden_text(value: Any) -> Any:
    is_markup = hasattr(value, "__html__")
    return escape_hidden(value) if isinstance(value, str) and not is_markup else value


def _dump_data(data: Frozen) -> str:
    """Return the script's data as JSON; the template itself writes a gallery's lists of options."""
    if not isinstance(data, Gallery):
        return _dump_model(data)
    head = _dump_model(data, {"entries", "filters", "stages", "splits", "sorts"})
    entries = ",".join(_dump_model(entry) for entry in data.entries)
    return f'{head[:-1]},"entries":[{entries}]}}'


def _dump_model(model: Frozen, exclude: set[str] | None = None) -> str:
    text = model.model_dump_json(exclude_defaults=True, exclude=exclude)
    # Fast path: JSON escapes control characters, so plain ASCII without an escape has nothing hidden in it.
    if text.isascii() and "\\u" not in text and "\x7f" not in text:
        return text
    content = model.model_dump(mode="json", exclude_defaults=True, exclude=exclude)
    return json.dumps(map_texts(content, escape_hidden), ensure_ascii=False, separators=(",", ":"))


@functools.cache
def _read_assets(template: PageTemplate) -> tuple[Markup, Markup]:
    """Return the style and the script of a page, each joined from its files."""
    from markupsafe import Markup

    folder = files("ita_pipeline.reports").joinpath("templates")
    script = "\n".join(folder.joinpath("script", f"{name}.js").read_text("utf-8") for name in template.scripts)
    style = "\n".join(folder.joinpath(f"{name}.css").read_text("utf-8") for name in template.styles)
    return Markup(style), Markup(f'"use strict";\n{{\n{script}}}\n')


def _digest(text: str) -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
