"""Hugging Face's hub, asked only where it can be reached: its libraries try again for a minute before they give up."""

from __future__ import annotations

import socket
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from urllib.parse import urlsplit

_TIMEOUT_S = 5.0


@contextmanager
def hub_if_reachable() -> Iterator[None]:
    """Within it the cache alone is read where the hub is out of reach."""
    from huggingface_hub import constants

    before = constants.HF_HUB_OFFLINE
    constants.HF_HUB_OFFLINE = before or not _is_reachable(constants.ENDPOINT)
    try:
        yield
    finally:
        constants.HF_HUB_OFFLINE = before


@cache
def _is_reachable(endpoint: str) -> bool:
    """Whether somebody listens there; behind a proxy, which alone could tell, it is believed."""
    address = urlsplit(endpoint)
    if urllib.request.getproxies():
        return True
    try:
        socket.create_connection((address.hostname or "", address.port or 443), _TIMEOUT_S).close()
    except OSError:
        return False
    return True


def fetched_elsewhere(repository: str) -> str:
    """How a repository's small files (configuration, tokenizer) come into the cache of a machine without a network."""
    folder = f"models--{repository.replace('/', '--')}"
    return (
        f"where there is a network run: hf download {repository} --include '*.json' '*.model' '*.txt', and copy "
        f"{folder} from the cache there (~/.cache/huggingface/hub) into the one here"
    )


def why_not_fetched(error: Exception) -> str:
    """What to say of something that the cache lacks."""
    from huggingface_hub import constants

    return "Hugging Face's hub is out of reach" if constants.HF_HUB_OFFLINE else reason(error)


def reason(error: Exception) -> str:
    """The first line of what an error says, at most 160 letters of it; the libraries' advice follows on others."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[0][:160] if lines else type(error).__name__
