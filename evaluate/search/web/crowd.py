"""No more requests at a time than the server can bear; the others are told to come again."""

from __future__ import annotations

from starlette.types import ASGIApp, Receive, Scope, Send

from .guard import refusal

MOST_REQUESTS = 400
"""Answered or waiting at a time: a browser asks six."""


class Crowd:
    """An ASGI application in front of `app`."""

    def __init__(self, app: ASGIApp, most: int = MOST_REQUESTS) -> None:
        self._app, self._most, self._running = app, most, 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        if self._running >= self._most:
            said = "too many ask at the same time; try again in a moment"
            await refusal(scope["path"], said, 503, {"Retry-After": "2"})(scope, receive, send)
            return
        self._running += 1
        try:
            await self._app(scope, receive, send)
        finally:
            self._running -= 1
