"""The page of the demo, in the style of the reports and by their machinery."""

from __future__ import annotations

from ita_pipeline.reports.gallery import BY_PICTURE, NOT_APPENDED, Telling
from ita_pipeline.reports.page import Sheet, render
from ita_pipeline.runs.run import Run
from ita_pipeline.server.middleware import Bounds
from stages.base import Frozen

SHEET = Sheet("demo.html", ("elements", "picture", "post", "demo"), ("page", "demo"))

# A picture that was dropped is shown from the browser's own memory.
RULES = {"img-src": "data: blob:", "connect-src": "'self'"}

UNSHOWN = "The browser cannot show a picture of this format; it was looked at all the same."


class Setting(Frozen):
    """What the page's script gets: how both views are compared, what it says of findings that are not used and of a
    picture that the browser cannot show, types in the order of their colours, and what may come in.
    """

    telling: Telling
    unused: str
    unshown: str
    types: tuple[str, ...]
    characters: int
    bytes: int


def demo_page(run: Run, bounds: Bounds, notes: tuple[str, ...]) -> str:
    record = run.record()
    values = {
        "title": f"Try {record.dataset}, run {record.key[:8]}",
        "about": " · ".join(about(run)),
        "notes": notes,
        "characters": bounds.characters,
        "megabytes": bounds.bytes // 1024**2,
    }
    setting = Setting(
        telling=BY_PICTURE,
        unused=NOT_APPENDED,
        unshown=UNSHOWN,
        types=tuple(sorted(record.types)),
        characters=bounds.characters,
        bytes=bounds.bytes,
    )
    return render(SHEET, setting, RULES, values)


def about(run: Run) -> list[str]:
    record, splits = run.record(), run.scores().splits
    said = [f"preset {record.preset}", f"encoder {record.encoder}", f"finds {', '.join(sorted(record.types))}"]
    if "test" in splits:
        both, text = splits["test"].text_and_image.micro.f1, splits["test"].text.micro.f1
        said.append(f"test F1 {100 * both:.2f} with the picture, {100 * text:.2f} without")
    return said
