"""The web application: the page, `POST /predict`, and their description. Needs the extra `demo`."""

# No postponed annotations here: FastAPI reads those of a function inside another one, and they name its variables.
from importlib.metadata import version
from typing import Annotated, Any

import anyio
import anyio.to_thread
from fastapi import FastAPI, File, Form, Request, UploadFile
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.responses import HTMLResponse, Response

from ita_pipeline.server.middleware import Bounds, Guard, Hosts, problem
from ita_pipeline.server.page import demo_page
from ita_pipeline.server.schemas import Answer, Problem
from ita_pipeline.server.service import RefusedError, Service
from stages.base import StageError

ABOUT = """Named entities of a tweet, read alone (T) and together with what is found in its picture (I+T).

    curl -F text='Big night for Ashby' -F image=@sign.jpg http://127.0.0.1:8765/predict
"""

PROBLEMS: dict[int | str, dict[str, Any]] = {
    403: {"model": Problem, "description": "The request comes from another site's page"},
    408: {"model": Problem, "description": "It was sent too slowly"},
    413: {"model": Problem, "description": "Too many bytes"},
    421: {"model": Problem, "description": "The Host header is none of this server's names"},
    422: {"model": Problem, "description": "There is nothing to read, or it cannot be read"},
    503: {"model": Problem, "description": "Too many posts at one time; Retry-After says when to come again"},
}

NOT_A_FILE = "image: send the picture as a file, as curl does with -F image=@sign.jpg"


def make_app(service: Service, bounds: Bounds | None = None, hosts: Hosts | None = None) -> Guard:
    """The whole application behind its guard. The service answers one post after the other, in a thread."""
    bounds = bounds or Bounds()
    # The pages that a framework offers to browse its description load scripts from elsewhere.
    app = FastAPI(
        title="ita demo",
        description=ABOUT,
        version=version("ita-pipeline"),
        docs_url=None,
        redoc_url=None,
        form_limits={"max_files": 1, "max_fields": 4, "max_part_size": 16 * bounds.characters},
        exception_handlers={
            HTTPException: as_problem,
            RequestValidationError: as_sentence,
            RefusedError: as_refusal,
            StageError: as_trouble,
            Exception: as_accident,
        },
    )
    page = demo_page(service.predictor.run, bounds, service.notes)
    turn = anyio.CapacityLimiter(1)

    @app.get("/", include_in_schema=False)
    async def show() -> HTMLResponse:
        return HTMLResponse(page, headers={"Content-Security-Policy": "frame-ancestors 'none'"})

    @app.post("/predict", responses=PROBLEMS, summary="Contexts and mentions of a post")
    async def predict(
        text: Annotated[str, Form(max_length=bounds.characters, description="The tweet.")] = "",
        image: Annotated[
            UploadFile | None, File(description="Its picture: JPEG, PNG, WebP, GIF, BMP or TIFF.")
        ] = None,
    ) -> Answer:
        """Either may be missing, but not both."""
        picture = image.file if image is not None else None
        return await anyio.to_thread.run_sync(service.answer, text, picture, limiter=turn, abandon_on_cancel=True)

    return Guard(app, bounds, hosts or Hosts())


async def as_problem(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    said = begun_small(error.detail)
    if error.status_code in (404, 405):
        said = f"there is no {request.method} {request.url.path[:100]}; POST /predict answers, / is a page"
    return problem(error.status_code, said, **dict(error.headers or {}))


async def as_sentence(_: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    named = [(str(one["loc"][-1]), begun_small(one["msg"])) for one in error.errors()]
    return problem(422, "; ".join(NOT_A_FILE if name == "image" else f"{name}: {said}" for name, said in named))


def begun_small(text: str) -> str:
    return text[:1].lower() + text[1:]


async def as_refusal(_: Request, error: Exception) -> Response:
    return problem(422, str(error))


async def as_trouble(_: Request, error: Exception) -> Response:
    return problem(500, str(error))


async def as_accident(_: Request, error: Exception) -> Response:
    """The traceback is for whoever started the demo: the server writes it to standard error."""
    return problem(500, "this should not have happened; the demo's own window says more")
