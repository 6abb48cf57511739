"""Who may ask: checked before anything else looks at a request.

The page shows a user's own videos. Another web page open in the same browser may send requests here, be it under a name
that it made to point here (DNS rebinding), so `Host`, `Origin` and `Sec-Fetch-Site` are checked, always; who comes from
another machine must show the token as well.
"""

from __future__ import annotations

import hmac
import ipaddress
import socket
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from http.cookies import CookieError, SimpleCookie
from urllib.parse import parse_qs, urlsplit

from starlette.datastructures import Headers
from starlette.responses import JSONResponse, PlainTextResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

COOKIE = "camoe_search"
MOST_URL_BYTES = 8192
LOOPBACK_NAMES = frozenset({"localhost", "127.0.0.1", "[::1]"})
SECURITY_HEADERS = {
    "Content-Security-Policy": "default-src 'self'; img-src 'self' data:; frame-ancestors 'none'; base-uri 'none'; "
    "form-action 'self'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
}


@dataclass(frozen=True)
class Guard:
    """An ASGI application in front of `app`; `host` is where the server listens, `token` none on loopback."""

    app: ASGIApp
    host: str
    token: str | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        answer = self._refusal(scope) or self._entry(scope)

        async def with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                extra = [(name.lower().encode(), value.encode()) for name, value in SECURITY_HEADERS.items()]
                message["headers"] = [*message.get("headers", []), *extra]
            await send(message)

        await (answer or self.app)(scope, receive, with_headers)

    def _refusal(self, scope: Scope) -> Response | None:
        headers = Headers(scope=scope)
        refuse = partial(refusal, scope["path"])
        if scope["method"] not in ("GET", "HEAD"):
            return refuse("only GET is answered here", 405)
        if len(scope["raw_path"]) + len(scope["query_string"]) > MOST_URL_BYTES:
            return refuse("the query is too long", 414)
        host = headers.get("host", "")
        if not self._is_ours(host):
            return refuse(f"this server does not go by the name {_name_of(host)!r}", 403)
        if "origin" in headers and urlsplit(headers["origin"]).netloc != host:
            return refuse("another page may not ask here", 403)
        foreign = headers.get("sec-fetch-site", "none") not in ("none", "same-origin")
        if foreign and headers.get("sec-fetch-mode") != "navigate":
            return refuse("another page may not ask here", 403)
        return None

    def _is_ours(self, host: str) -> bool:
        """Whether a browser can only have meant this machine: by an address, or one of its names."""
        name = _name_of(host)
        if name in LOOPBACK_NAMES:
            return True
        if self.token is None:
            return False
        if name in (self.host.lower(), socket.gethostname().lower(), socket.getfqdn().lower()):
            return True
        try:
            ipaddress.ip_address(name.strip("[]"))
        except ValueError:
            return False
        return True

    def _entry(self, scope: Scope) -> Response | None:
        """Where a token is demanded: none who shows it; who has it in the address gets a cookie instead."""
        if self.token is None:
            return None
        headers = Headers(scope=scope)
        given = parse_qs(scope["query_string"].decode("latin-1")).get("token", [""])[0]
        if _same(given, self.token):
            answer = RedirectResponse(scope["path"] or "/", 303)
            answer.set_cookie(COOKIE, self.token, httponly=True, samesite="strict")
            return answer
        shown = (_cookie(headers), headers.get("authorization", "").removeprefix("Bearer "))
        if any(_same(value, self.token) for value in shown):
            return None
        return refusal(scope["path"], "open the address that camoe-search printed, with its token", 401)


def refusal(path: str, sentence: str, status: int, headers: Mapping[str, str] | None = None) -> Response:
    """Why something is not answered: as JSON beneath `/api`, elsewhere as plain text for who opens it in a browser."""
    if path.startswith("/api/"):
        return JSONResponse({"error": sentence}, status, headers)
    return PlainTextResponse(sentence, status, headers)


def _name_of(host: str) -> str:
    name = host.rpartition(":")[0] if ":" in host.rpartition("]")[2] else host
    return name.lower()


def _cookie(headers: Mapping[str, str]) -> str:
    try:
        found = SimpleCookie(headers.get("cookie", "")).get(COOKIE)
    except CookieError:
        return ""
    return found.value if found is not None else ""


def _same(given: str, token: str) -> bool:
    return hmac.compare_digest(given.encode(errors="replace"), token.encode())
