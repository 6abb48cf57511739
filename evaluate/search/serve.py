"""`camoe-search --serve`: opens the page on this machine."""

from __future__ import annotations

import secrets
import socket
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

from ...pipeline.errors import CamoeError
from ...pipeline.extras import needs_extra
from ...pipeline.wording import counted
from .config import SearchConfig

if TYPE_CHECKING:
    from .searcher import Searcher

MOST_CONNECTIONS = 4000
"""More at a time are hung up on; of fewer, all get an answer (`crowd.py`)."""


def serve(config: SearchConfig, text: str | None, say: Callable[[str], None]) -> None:
    """Load everything, tell the address, and answer until interrupted.

    Raises `CamoeError` where the libraries are not installed, the address is taken, or there is nothing to open.
    """
    with needs_extra("search", "--serve"):
        import uvicorn

        from .web.app import create_app
    from .gallery import EmptyStoreError
    from .run import open_searcher

    token = None if config.is_loopback else config.token or secrets.token_urlsafe(24)
    with listen(config.host, config.port) as listener:
        searcher, empty = None, ""
        try:
            searcher = open_searcher(config)
            searcher.reader.tower  # noqa: B018  (loaded, or refused, before anyone asks)
            _ = searcher.cutoff
        except EmptyStoreError as error:
            empty = str(error)
        app = create_app(searcher, host=config.host, token=token, empty=empty)
        where = address(config.host, listener.getsockname()[1], text, token)
        if searcher is not None:
            say(f"{counted(len(searcher.gallery), 'video')}, {searcher.run.title if searcher.run else 'zero-shot'}")
            say(searcher.folder.doubt or f"videos are in {searcher.folder.root}")
        say(f"search at {where}  (Ctrl-C ends it)")
        if searcher is not None:
            threading.Thread(target=prepare, args=(searcher,), daemon=True).start()
        server_config = uvicorn.Config(app, **SERVER_SETTINGS)
        with suppress(KeyboardInterrupt):  # that is how it is meant to end
            uvicorn.Server(server_config).run(sockets=[listener])


def prepare(searcher: Searcher) -> None:
    """Compute what best moments need, as far as it fits, with pauses in which queries are answered."""
    pause = threading.Event()
    with suppress(CamoeError, OSError):  # a store that went away is told to whoever searches
        searcher.prepare_moments(lambda: not pause.wait(PAUSE_S))


PAUSE_S = 0.02
SERVER_SETTINGS: dict[str, Any] = {
    "http": "h11",
    "ws": "none",
    "log_level": "error",
    "access_log": False,
    "server_header": False,
    "limit_concurrency": MOST_CONNECTIONS,
    "h11_max_incomplete_event_size": 32 << 10,
    "timeout_graceful_shutdown": 2,
}
"""Of uvicorn, beyond the application."""


def listen(host: str, port: int) -> socket.socket:
    """A socket that listens; raises `CamoeError` where the address cannot be had."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host, port))
    except OSError as error:
        listener.close()
        raise CamoeError(
            f"{host}:{port} cannot be opened ({error.strerror}); give another --port, or 0 for any"
        ) from None
    return listener


def address(host: str, port: int, text: str | None, token: str | None) -> str:
    """What to open in a browser."""
    name = f"[{host}]" if ":" in host else host
    if host in ("0.0.0.0", "::"):
        name = socket.gethostname()
    query = {name: value for name, value in (("token", token), ("q", text)) if value}
    return f"http://{name}:{port}/{'?' + urlencode(query) if query else ''}"
