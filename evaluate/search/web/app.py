"""The page and the JSON beneath it, as an ASGI application."""

from __future__ import annotations

import os
from collections.abc import Awaitable, Callable
from importlib import resources
from pathlib import PurePosixPath
from typing import Annotated, Any

import anyio
from anyio import to_thread
from fastapi import Depends, FastAPI, Query, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException
from starlette.responses import Response
from starlette.types import ASGIApp

from ....pipeline.errors import CamoeError
from ..config import AUTO, MOST_LETTERS
from ..previews import preview_binary
from ..searcher import Searcher
from ..sources import SourceError
from .answers import MOST_TOP, Answers, Question
from .crowd import Crowd
from .guard import Guard, refusal
from .media import MEDIA_TYPES, Previews, Stills, file_response

_WRONG = {
    "string_too_long": "has more than {max_length} letters; shorten it",
    "int_parsing": "must be a whole number, not {given!r}",
    "float_parsing": "must be a number, not {given!r}",
    "finite_number": "must be a number, not {given!r}",
    "greater_than_equal": "must be at least {ge}, not {given}",
    "less_than_equal": "must be at most {le}, not {given}",
    "missing": "is missing",
}
"""What is said of a parameter, by pydantic's name for the mistake."""
MOST_SEARCHES = 2
"""Searches that are computed at a time; the others wait."""
PAGE = {
    "index.html": "text/html",
    "style.css": "text/css",
    "app.js": "text/javascript",
    "api.html": "text/html",
    "api.js": "text/javascript",
}
Text = Annotated[str | None, Query(max_length=MOST_LETTERS, description="A text to search for; or give `like`.")]
Like = Annotated[
    str | None,
    Query(max_length=MOST_LETTERS, description="The id of a video; others like it are searched for, instead of `q`."),
]
Without = Annotated[
    str | None, Query(alias="not", max_length=MOST_LETTERS, description="A text that is subtracted; it counts half.")
]
WeightsText = Annotated[
    str | None,
    Query(max_length=MOST_LETTERS, description="Shares of the streams, `fusion=1,entity=0.5`; without: the model's."),
]
Seconds = Annotated[float, Query(ge=0, le=1e7, allow_inf_nan=False, description="Seconds of the file.")]
VideoId = Annotated[str, Query(max_length=4096, description="A video's id, as a search gives it.")]


def create_app(searcher: Searcher | None, *, host: str, token: str | None = None, empty: str = "") -> ASGIApp:
    """The application; without a `searcher` the page says why there is nothing to search, `empty`."""
    app = FastAPI(
        title="camoe-search",
        docs_url=None,
        redoc_url=None,
        description="All answers are JSON or media.",
        dependencies=[Depends(_only_known)],
    )
    app.exception_handler(CamoeError)(_refuse)
    app.exception_handler(RequestValidationError)(_refuse_value)
    app.exception_handler(HTTPException)(_refuse_request)
    app.exception_handler(Exception)(_confess)
    _add_page(app)
    if searcher is None:

        @app.get("/api/about")
        def about_nothing() -> dict[str, Any]:
            """Why there is nothing to search, `message`."""
            return {"videos": 0, "message": empty}

        return Guard(Crowd(app), host, token)
    answers = Answers(searcher)
    _add_searches(app, answers)
    _add_media(app, answers)
    return Guard(Crowd(app), host, token)


def _refuse(request: Request, error: Exception) -> Response:
    return JSONResponse({"error": str(error)}, 404 if isinstance(error, SourceError) else 400)


def _refuse_value(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    first = error.errors()[0]
    name, given, limits = first["loc"][-1], str(first.get("input"))[:40], first.get("ctx", {})
    said = _WRONG.get(first["type"], first["msg"][:1].lower() + first["msg"][1:]).format(given=given, **limits)
    return JSONResponse({"error": f"{name} {said}"}, 400)


def _refuse_request(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    path = request.url.path
    said = {404: f"there is nothing at {path}; /api lists what there is", 405: "only GET is answered here"}
    return refusal(path, said.get(error.status_code, str(error.detail)), error.status_code, error.headers)


def _confess(request: Request, error: Exception) -> Response:
    return refusal(request.url.path, "the server made a mistake; its terminal says which", 500)


def _only_known(request: Request) -> None:
    """A parameter that is mistyped would be left out in silence, and one given twice would count once."""
    described = request.app.openapi()["paths"][request.scope["route"].path]["get"]
    known = [parameter["name"] for parameter in described.get("parameters", [])]
    given = [name for name, _ in request.query_params.multi_items()]
    for name in given:
        if name not in known:
            rest = f"; there are {', '.join(known)}" if known else ", nor any other"
            raise CamoeError(f"there is no parameter {name!r} here{rest}")
        if given.count(name) > 1:
            raise CamoeError(f"parameter {name!r} is given {given.count(name)} times; give it once")


def _add_page(app: FastAPI) -> None:
    folder = resources.files(__package__) / "page"
    content = {name: (folder / name).read_bytes() for name in PAGE}
    for name in PAGE:
        path = {"index.html": "/", "api.html": "/api"}.get(name, f"/{name}")
        app.add_route(path, _constant(content[name], PAGE[name]), include_in_schema=False)


def _constant(content: bytes, media_type: str) -> Callable[[Request], Awaitable[Response]]:
    async def page(request: Request) -> Response:
        return Response(content, media_type=media_type, headers={"Cache-Control": "no-cache"})

    return page


def _add_searches(app: FastAPI, answers: Answers) -> None:
    limit = anyio.CapacityLimiter(MOST_SEARCHES)

    @app.get("/api/about")
    async def about() -> dict[str, Any]:
        """What is searched: `videos`, `captions` (how many), `model`, `clip`, `streams` and the model's `weights`,
        `cutoff` (calibrated on whole captions) and `cutoff_basis`, `candidates` (null: the model compares all videos),
        `folder_known`, and `notes`, what the user should know."""
        return await to_thread.run_sync(answers.about, limiter=limit)

    @app.get("/api/search")
    async def search(
        q: Text = None,
        like: Like = None,
        without: Without = None,
        weights: WeightsText = None,
        cutoff: Annotated[
            str,
            Query(
                max_length=40,
                description="What scores less is left out: `auto`, the calibrated one (none for `like`), `none`, or a "
                "number.",
            ),
        ] = AUTO,
        only: Annotated[str, Query(max_length=MOST_LETTERS, description="Must be part of the id.")] = "",
        top: Annotated[int, Query(ge=1, le=MOST_TOP, description="Results, at most.")] = 24,
    ) -> dict[str, Any]:
        """The best videos: `hits`, a list of `rank, id, score, moment_s, path, streams` (the score of each),
        `duration_s`; `found` and `searched`, how many reach the cut-off and how many there are; `cutoff`, the one that
        was used; `calibrated`, the one of `auto`, and its `basis`; `range`, the lowest and the highest score;
        `weights`, each stream's share; `readings`, the words that each stream reads; `notes`, as in `about`."""
        question = Question(q, like, without, weights, cutoff, only, top)
        return await to_thread.run_sync(answers.search, question, limiter=limit)

    @app.get("/api/frames")
    async def frames(
        id: VideoId, q: Text = None, like: Like = None, without: Without = None, weights: WeightsText = None
    ) -> dict[str, Any]:
        """How well each frame of a video fits: `id`, `duration_s`, `frames`, a list of `time_s, score`."""
        question = Question(q, like, without, weights)
        return await to_thread.run_sync(answers.frames, question, id, limiter=limit)

    @app.get("/api/captions")
    async def captions(id: VideoId) -> list[dict[str, Any]]:
        """The store's captions that fit a video best: a list of `rank, id, video_id, score, text`, empty where the
        store has none."""
        return await to_thread.run_sync(answers.captions, id, limiter=limit)


def _add_media(app: FastAPI, answers: Answers) -> None:
    binary = preview_binary()
    stills, previews = Stills(binary), Previews(binary)

    @app.get("/api/still", response_class=Response)
    async def still(id: VideoId, t: Seconds = 0.0) -> Response:
        """A frame of a video as JPEG."""
        source, open_source = answers.source(id)
        picture = await stills.get(source, t, open_source)
        if picture is None:
            raise SourceError(f"{source} gives no picture at {t:g} s")
        return Response(picture, media_type="image/jpeg", headers={"Cache-Control": "private, max-age=600"})

    @app.get("/api/video", response_class=Response)
    async def video(id: VideoId, request: Request) -> Response:
        """A video's file, whole or by HTTP ranges."""
        source, open_source = answers.source(id)
        descriptor = await to_thread.run_sync(open_source)
        return file_response(descriptor, PurePosixPath(source).suffix.lower(), request.headers)

    @app.get("/api/preview", response_class=Response)
    async def preview(id: VideoId, start: Seconds = 0.0) -> Response:
        """A copy that browsers play, made on the fly, from `start` on."""
        source, open_source = answers.source(id)
        return previews.response(await to_thread.run_sync(open_source), source, start)

    @app.get("/api/playable")
    async def playable(id: VideoId) -> dict[str, bool]:
        """Whether a video's file is there (else the error says why not), and `direct`: whether browsers mostly play its
        kind as it is. If not, ask for `preview` instead of `video`."""
        source, open_source = answers.source(id)
        descriptor = await to_thread.run_sync(open_source)
        os.close(descriptor)
        return {"direct": PurePosixPath(source).suffix.lower() in MEDIA_TYPES}
