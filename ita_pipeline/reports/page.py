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
from typing import TYPE_CHECKING, Any

from ita_pipeline.core.text import escape_hidden, map_texts
from ita_pipeline.reports.gallery import Gallery
from stages.base import Frozen

if TYPE_CHECKING:
    from jinja2 import Environment
    from markupsafe import Markup


@dataclass(frozen=True, slots=True)
class PageTemplate:
    """A template, and the files that are joined into its one script and its one style."""

    template: str
    scripts: tuple[str, ...]
    styles: tuple[str, ...] = ("page",)


def render_template(template: PageTemplate, sources: str, **values: Any) -> str:
    """Return the HTML of a page; the value `data` is for its script.

    `sources` are the rules of the content security policy beyond those for the page's own script and style.
    """
    style, script = _read_assets(template)
    policy = (
        f"default-src 'none'; {sources}; script-src '{_digest(script)}'; style-src '{_digest(style)}'; "
        "base-uri 'none'; form-action 'none'"
    )
    page = _make_environment().get_template(template.template)
    return page.render(style=style, script=script, policy=policy, **values)


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


def _dump_data(data: Gallery | Mapping[str, Any]) -> str:
    """Return the script's data as JSON."""
    if not isinstance(data, Gallery):
        return _dump_visible(data)
    # Entry by entry, so that text beyond ASCII slows down only the entry that has it.
    entries = ",".join(map(_dump_model, data.entries))
    return f'{_dump_model(data)[:-1]},"entries":[{entries}]}}'


def _dump_model(model: Frozen) -> str:
    text = model.model_dump_json(exclude_defaults=True)
    # Fast path: JSON escapes control characters, so plain ASCII without an escape has nothing hidden in it.
    is_visible = text.isascii() and "\\u" not in text and "\x7f" not in text
    return text if is_visible else _dump_visible(model.model_dump(mode="json", exclude_defaults=True))


def _dump_visible(content: object) -> str:
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
