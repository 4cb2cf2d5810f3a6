"""HTML page of the demo, rendered like the reports."""

from __future__ import annotations

from ita_pipeline.reports.gallery import NOT_APPENDED, VIEW_COMPARISON, AnswerComparison
from ita_pipeline.reports.page import PageTemplate, render_template
from ita_pipeline.runs.run import Run
from ita_pipeline.server.middleware import ServerLimits
from stages.base import Frozen

TEMPLATE = PageTemplate("demo.html", ("elements", "picture", "post", "demo"), ("page", "demo"))

# The page shows a dropped picture from the browser's own memory.
RULES = {"img-src": "data: blob:", "connect-src": "'self'"}


class DemoData(Frozen):
    """The data of the page's script.

    `telling` configures the comparison of both views. `unused` and `unshown` are texts for findings that are not
    appended and for pictures that the browser cannot show. `types` are in the order of their colors. `characters`
    and `bytes` are limits.
    """

    telling: AnswerComparison
    unused: str
    unshown: str
    types: tuple[str, ...]
    characters: int
    bytes: int


def demo_page(run: Run, limits: ServerLimits, notes: tuple[str, ...]) -> str:
    """Render the page for a run."""
    record, splits = run.record(), run.scores().splits
    types = tuple(sorted(record.types))
    facts = [f"preset {record.preset}", f"encoder {record.encoder}", f"finds {', '.join(types)}"]
    if "test" in splits:
        both, text = splits["test"].text_and_image.micro.f1, splits["test"].text.micro.f1
        facts.append(f"test F1 {100 * both:.2f} with the picture, {100 * text:.2f} without")
    values = {
        "title": f"Try {record.dataset}, run {record.key[:8]}",
        "about": " · ".join(facts),
        "notes": notes,
        "characters": limits.max_characters,
        "megabytes": limits.max_bytes // 1024**2,
    }
    data = DemoData(
        telling=VIEW_COMPARISON,
        unused=NOT_APPENDED,
        unshown="The browser cannot show a picture of this format; it was looked at all the same.",
        types=types,
        characters=limits.max_characters,
        bytes=limits.max_bytes,
    )
    return render_template(TEMPLATE, data, RULES, values)
