"""The page itself: the template, filled. Nothing in it comes from elsewhere, and no script runs but its own."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping
from importlib.metadata import version
from importlib.resources import files
from typing import Any

from jinja2 import Environment, FunctionLoader, StrictUndefined
from markupsafe import Markup

from ..names import HEADINGS
from .folder import MARK

TEMPLATES = "template"

NOTHING: dict[str, Any] = {
    "headline": [], "notes": [], "few": None, "compared": None, "runs": [], "grey": [], "sweeps": [], "tile": None
}  # fmt: skip
"""What a page shows that is told nothing but its `title`; `tile` gives what stands for a frame."""


def render(values: Mapping[str, Any]) -> str:
    """The page as text: `NOTHING`, and `values` instead."""
    environment = Environment(
        loader=FunctionLoader(_read), autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    script, style = _read("script.js"), _read("style.css")
    inlined: dict[str, Any] = {
        "script": Markup(script),
        "style": Markup(style),
        "mark": Markup(MARK),
        "policy": _policy(script),
        "version": version("camoe"),
        "headings": HEADINGS,
    }
    return environment.get_template("page.html").render(NOTHING | dict(values) | inlined)


def _policy(script: str) -> str:
    """What the browser is told to allow: our own script by its hash, pictures beside the page, nothing else."""
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    images = "img-src 'self' file: data:"
    return f"default-src 'none'; {images}; style-src 'unsafe-inline'; script-src 'sha256-{digest}'; base-uri 'none'"


def _read(name: str) -> str:
    return (files(__package__) / TEMPLATES / name).read_text(encoding="utf-8")
