"""The page and the JSON beneath it, as an ASGI application."""

from __future__ import annotations

import os
from collections.abc import Awaitable, Callable
from importlib import resources
from pathlib import PurePosixPath
from typing import Annotated, Any

import anyio
from anyio import to_thread
from fastapi import FastAPI, Query, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.responses import Response
from starlette.types import ASGIApp

from ....pipeline.errors import CamoeError
from ..config import AUTO, MOST_LETTERS
from ..previews import preview_binary
from ..searcher import Searcher
from ..sources import SourceError
from .answers import MOST_TOP, Answers, Question
from .guard import Guard
from .media import MEDIA_TYPES, Previews, Stills, file_response

MOST_SEARCHES = 2
"""Searches that are computed at a time; the others wait."""
PAGE = {
    "index.html": "text/html",
    "style.css": "text/css",
    "app.js": "text/javascript",
    "api.html": "text/html",
    "api.js": "text/javascript",
}
Text = Annotated[str | None, Query(max_length=MOST_LETTERS, description="A text to search for.")]
Like = Annotated[str | None, Query(max_length=MOST_LETTERS, description="The id of a video to search by instead.")]
Without = Annotated[
    str | None, Query(alias="not", max_length=MOST_LETTERS, description="A text that is subtracted; it counts half.")
]
WeightsText = Annotated[
    str | None, Query(max_length=MOST_LETTERS, description="`fusion:1,entity:0.5`; none: the model's.")
]
Seconds = Annotated[float, Query(ge=0, le=1e7, allow_inf_nan=False, description="Seconds of the file.")]
VideoId = Annotated[str, Query(max_length=4096, description="A video's id, as a search gives it.")]


def create_app(searcher: Searcher | None, *, host: str, token: str | None = None, empty: str = "") -> ASGIApp:
    """The application; without a `searcher` the page says why there is nothing to search, `empty`."""
    app = FastAPI(title="camoe-search", docs_url=None, redoc_url=None, description="All answers are JSON or media.")
    app.exception_handler(CamoeError)(_refuse)
    app.exception_handler(RequestValidationError)(_refuse_value)
    _add_page(app)
    if searcher is None:

        @app.get("/api/about")
        def about_nothing() -> dict[str, Any]:
            return {"videos": 0, "message": empty}

        return Guard(app, host, token)
    answers = Answers(searcher)
    _add_searches(app, answers)
    _add_media(app, answers)
    return Guard(app, host, token)


def _refuse(request: Request, error: Exception) -> Response:
    return JSONResponse({"error": str(error)}, 404 if isinstance(error, SourceError) else 400)


def _refuse_value(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    first = error.errors()[0]
    return JSONResponse({"error": f"{first['loc'][-1]}: {first['msg']}"}, 400)


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
        """What is searched, by which model, and the calibrated cut-off."""
        return await to_thread.run_sync(answers.about, limiter=limit)

    @app.get("/api/search")
    async def search(
        q: Text = None,
        like: Like = None,
        without: Without = None,
        weights: WeightsText = None,
        cutoff: Annotated[str, Query(max_length=40, description="`auto`, `none` or a number.")] = AUTO,
        only: Annotated[str, Query(max_length=MOST_LETTERS, description="Must be part of the id.")] = "",
        top: Annotated[int, Query(ge=1, le=MOST_TOP, description="Results, at most.")] = 24,
    ) -> dict[str, Any]:
        """The best videos, `hits` with `rank, id, score, moment_s, path, streams, duration_s`, and more."""
        question = Question(q, like, without, weights, cutoff, only, top)
        return await to_thread.run_sync(answers.search, question, limiter=limit)

    @app.get("/api/frames")
    async def frames(
        id: VideoId, q: Text = None, like: Like = None, without: Without = None, weights: WeightsText = None
    ) -> dict[str, Any]:
        """How well each frame of a video fits."""
        question = Question(q, like, without, weights)
        return await to_thread.run_sync(answers.frames, question, id, limiter=limit)

    @app.get("/api/captions")
    async def captions(id: VideoId) -> list[dict[str, Any]]:
        """The store's captions that fit a video best; none where the store has none."""
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
            raise SourceError(f"{source} could not be read")
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
        """Whether the file is there, and whether browsers mostly play its kind as it is."""
        source, open_source = answers.source(id)
        descriptor = await to_thread.run_sync(open_source)
        os.close(descriptor)
        return {"direct": PurePosixPath(source).suffix.lower() in MEDIA_TYPES}
