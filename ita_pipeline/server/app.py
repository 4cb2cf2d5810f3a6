"""The web application: the page, `POST /predict`, and their description. Needs the extra `demo`."""

# Annotations are not postponed: FastAPI evaluates those of a nested function, and they use its local variables.
import functools
from collections.abc import Callable, Coroutine, Sequence
from importlib.metadata import version
from typing import Annotated, Any

import anyio
import anyio.to_thread
from fastapi import FastAPI, File, Form, Request, UploadFile
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, Field, TypeAdapter, ValidationError
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.responses import FileResponse, HTMLResponse, Response

from ita_pipeline.reports.gallery import NOT_APPENDED, VIEW_COMPARISON
from ita_pipeline.reports.page import PageTemplate, render_template
from ita_pipeline.reports.posts import IT, T
from ita_pipeline.runs.run import Run
from ita_pipeline.server.examples import ExamplePost
from ita_pipeline.server.middleware import AllowedHosts, RequestFilter, ServerLimits, error_response
from ita_pipeline.server.schemas import ErrorResponse, PredictResponse
from ita_pipeline.server.service import PredictionService, RejectedPostError
from stages.base import StageError

ABOUT = """Named entities of a tweet, from its text alone (T) and together with the findings in its picture (I+T).

    curl -F text='Big night for Ashby' -F image=@sign.jpg http://127.0.0.1:8765/predict
"""

ERRORS: dict[int | str, dict[str, Any]] = {
    403: {"model": ErrorResponse, "description": "The request comes from another site's page"},
    408: {"model": ErrorResponse, "description": "The request took too long to arrive"},
    413: {"model": ErrorResponse, "description": "The request is too large"},
    421: {"model": ErrorResponse, "description": "The Host header is not a name of this server"},
    422: {"model": ErrorResponse, "description": "The post is empty or cannot be read"},
    503: {"model": ErrorResponse, "description": "Too many posts at a time; Retry-After says when to try again"},
}

# Characters of the list of pieces that a form leaves out.
MAX_PIECES = 4000

SCRIPTS = ("elements", "picture", "explanation", "threads", "post", "switches", "demo")

PAGE = PageTemplate("demo.html", SCRIPTS, ("page", "demo"))

# The page shows a dropped picture from the browser's own memory.
PAGE_SOURCES = "img-src data: blob:; connect-src 'self'"

NOT_A_FILE = "image: send the picture as a file, as curl does with -F image=@sign.jpg"


def make_app(
    service: PredictionService, limits: ServerLimits, hosts: AllowedHosts, examples: Sequence[ExamplePost] = ()
) -> RequestFilter:
    """Return the whole application. The service answers in threads, one for each request in progress."""
    # The pages that FastAPI offers for its description load scripts from other sites.
    app = FastAPI(
        title="ita demo",
        description=ABOUT,
        version=version("ita-pipeline"),
        docs_url=None,
        redoc_url=None,
        form_limits={"max_files": 1, "max_fields": 4, "max_part_size": 16 * limits.max_characters},
        exception_handlers={
            HTTPException: _on_http_error,
            RequestValidationError: _on_invalid_request,
            RejectedPostError: _error_handler(422),
            StageError: _error_handler(500),
            ClientDisconnect: _error_handler(400, "the request ended early"),
            # The server writes the traceback to standard error, for the user who started the demo.
            Exception: _error_handler(500, "internal error; see the terminal that runs the demo"),
        },
    )
    page = render_demo_page(service.predictor.run, limits, service.notes, examples)
    threads = anyio.CapacityLimiter(limits.max_posts)

    class ListedPost(BaseModel):
        text: Annotated[str, Field(max_length=limits.max_characters)]
        image: None = Field(None, description="A picture is sent in a form, with its text.")

    posts = TypeAdapter(Annotated[list[ListedPost], Field(min_length=1, max_length=limits.max_texts)])
    schema = posts.json_schema()
    schema["items"] = schema.pop("$defs")["ListedPost"]

    @app.get("/", include_in_schema=False)
    async def show() -> HTMLResponse:
        return HTMLResponse(page, headers={"Content-Security-Policy": "frame-ancestors 'none'"})

    @app.get("/examples/{number}", include_in_schema=False)
    async def show_example(number: int) -> FileResponse:
        """Send the picture of an example as bytes that no browser shows by themselves."""
        if not 0 <= number < len(examples) or not examples[number].picture.is_file():
            raise HTTPException(404, "there is no such example")
        return FileResponse(examples[number].picture, media_type="application/octet-stream")

    @app.post(
        "/predict",
        responses=ERRORS,
        summary="Contexts and mentions of a post, or of a list of texts",
        openapi_extra={"requestBody": {"content": {"application/json": {"schema": schema}}}},
    )
    async def predict(
        request: Request,
        text: Annotated[str, Form(max_length=limits.max_characters, description="The tweet.")] = "",
        image: Annotated[
            UploadFile | None, File(description="Its picture: JPEG, PNG, WebP, GIF, BMP or TIFF.")
        ] = None,
        without: Annotated[
            str,
            Form(
                max_length=MAX_PIECES,
                pattern=r"^([A-Za-z][A-Za-z0-9_]*:[0-9]{1,6},?)*$",
                description="Pieces of contexts that are left out, such as objects:0,ocr:3.",
            ),
        ] = "",
        explain: Annotated[bool, Form(description="Whether to add the explanation.")] = False,
    ) -> PredictResponse | list[PredictResponse]:
        """A form has a text, a picture or both, and gets one answer. A JSON list of texts gets a list."""
        run = functools.partial(anyio.to_thread.run_sync, limiter=threads, abandon_on_cancel=True)
        if request.headers.get("content-type", "").partition(";")[0].strip().lower() != "application/json":
            parts = (one.partition(":") for one in without.split(",") if one)
            pieces = {(name, int(position)) for name, _, position in parts}
            return await run(service.predict, text, image.file if image is not None else None, pieces, explain)
        try:
            listed = posts.validate_json(await _read_list(request, limits))
        except ValidationError as error:
            raise RequestValidationError(error.errors()) from error
        return await run(service.predict_texts, [post.text for post in listed])

    return RequestFilter(app, limits, hosts)


def render_demo_page(
    run: Run, limits: ServerLimits, notes: tuple[str, ...], examples: Sequence[ExamplePost] = ()
) -> str:
    """Render the page for a run."""
    record, splits = run.record(), run.scores().splits
    types = tuple(sorted(record.types))
    facts = [f"preset {record.preset}", f"encoder {record.encoder}", f"finds {', '.join(types)}"]
    if "test" in splits:
        both, text = splits["test"].text_and_image.micro.f1, splits["test"].text.micro.f1
        facts.append(f"test F1 {100 * both:.2f} with the picture, {100 * text:.2f} without")
    data = {
        "telling": VIEW_COMPARISON.model_dump(mode="json"),
        "unused": NOT_APPENDED,
        "switchable": True,
        "views": {T: "text alone", IT: "with picture"},
        "unshown": "The browser cannot display this picture, but the stages have processed it.",
        "types": types,
        "language": record.contexts.language,
        "examples": [{"text": one.text, "name": one.picture.name} for one in examples],
        "characters": limits.max_characters,
        "bytes": limits.max_bytes,
    }
    return render_template(
        PAGE,
        PAGE_SOURCES,
        data=data,
        title=f"Try {record.dataset}, run {record.key[:8]}",
        about=" · ".join(facts),
        notes=notes,
        characters=limits.max_characters,
        megabytes=limits.max_bytes // 1024**2,
    )


async def _read_list(request: Request, limits: ServerLimits) -> bytearray:
    """Read a JSON list, which takes at most 12 bytes a character (two escapes of halves)."""
    body, max_bytes = bytearray(), limits.max_texts * (12 * limits.max_characters + 100)
    async for chunk in request.stream():
        body += chunk
        if len(body) > max_bytes:
            raise HTTPException(413, f"a list of texts may have at most {max_bytes} bytes")
    return body


def _error_handler(status: int, message: str = "") -> Callable[[Request, Exception], Coroutine[Any, Any, Response]]:
    """Return a handler that responds with a fixed message or that of the error."""

    async def handle(_: Request, error: Exception) -> Response:
        return error_response(status, message or str(error))

    return handle


async def _on_http_error(request: Request, error: HTTPException) -> Response:
    message = _lower_first(error.detail)
    if error.status_code in (404, 405):
        message = f"there is no {request.method} {request.url.path[:100]}; use POST /predict, or GET / for the page"
    return error_response(error.status_code, message, **dict(error.headers or {}))


async def _on_invalid_request(_: Request, error: RequestValidationError) -> Response:
    messages = []
    for detail in error.errors():
        place = [str(part) for part in detail["loc"] if part != "body"]
        is_image = place[-1:] == ["image"]
        messages.append(NOT_A_FILE if is_image else ": ".join([*place, _lower_first(detail["msg"])]))
    return error_response(422, "; ".join(messages))


def _lower_first(text: str) -> str:
    return text[:1].lower() + text[1:]
