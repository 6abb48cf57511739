"""The page itself: the template, filled. Nothing in it comes from elsewhere, and no script runs but its own."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping
from importlib.metadata import version
from importlib.resources import files
from pathlib import Path
from typing import Any

from jinja2 import Environment, FunctionLoader, StrictUndefined
from markupsafe import Markup

from ...pipeline.atomic import write_atomic
from ...pipeline.errors import CamoeError
from ...pipeline.writable import check_writable
from ..names import HEADINGS

INDEX = "index.html"
MARK = '<meta name="generator" content="camoe-report">'
"""By this line a folder's page is known as one that may be replaced."""
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
    }
    inlined |= {"version": version("camoe"), "headings": HEADINGS}
    return environment.get_template("page.html").render(NOTHING | dict(values) | inlined)


def _policy(script: str) -> str:
    """What the browser is told to allow: our own script by its hash, pictures beside the page, nothing else."""
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    images = "img-src 'self' file: data:"
    return f"default-src 'none'; {images}; style-src 'unsafe-inline'; script-src 'sha256-{digest}'; base-uri 'none'"


def _read(name: str) -> str:
    return (files(__package__) / TEMPLATES / name).read_text(encoding="utf-8")


def check_out(out: Path) -> None:
    """Raise `CamoeError` where a folder holds something that is no report, or cannot be written to."""
    if out.is_file():
        raise CamoeError(f"--out {out} is a file; name a folder")
    check_writable(out, inside=True, remedy="name another folder with --out")
    if not out.exists():
        return
    try:
        ours = MARK in (out / INDEX).read_text(encoding="utf-8", errors="replace")[:2000]
    except OSError:
        ours = {item.name for item in out.iterdir()} <= {"pictures"}
    if not ours:
        raise CamoeError(f"--out {out} holds something else and is left alone; name another folder")


def write(out: Path, text: str) -> Path:
    """Publish the page; letters that no text can hold become question marks."""
    out.mkdir(parents=True, exist_ok=True)
    write_atomic(out / INDEX, text.encode("utf-8", "replace"))
    return out / INDEX
