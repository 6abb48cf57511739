"""The folder of a report: whether it may be one, who writes it, and what goes once a new page is in place.

Pictures are added before the page that shows them, and those that it does not show are taken away after it: whenever a
report is killed, the page that is there has all its pictures.
"""

from __future__ import annotations

import os
import re
from collections.abc import Collection, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from ...pipeline.atomic import remove_leftovers, write_atomic
from ...pipeline.errors import CamoeError
from ...pipeline.locks import release_lock, take_lock
from ...pipeline.regular import open_regular
from ...pipeline.writable import check_writable

INDEX, PICTURES, LOCK = "index.html", "pictures", ".lock"
MARK = '<meta name="generator" content="camoe-report">'
"""By this line a folder's page is known as one that may be replaced."""
REMEDY = "name another folder with --out"
_HEAD_BYTES = 2000
_HALF_WRITTEN = r"(\.tmp\.\d+)?"
_PAGE = re.compile(re.escape(INDEX) + _HALF_WRITTEN)
_PICTURE = re.compile(r"[0-9a-f]{20}\.jpg" + _HALF_WRITTEN)


def check_out(out: Path) -> None:
    """Raise `CamoeError` where a folder holds something that is no report, or cannot be written to."""
    if out.is_file():
        raise CamoeError(f"--out {out} is a file; name a folder")
    check_writable(out, inside=True, remedy=REMEDY)
    if out.exists() and not (_holds_a_page(out) or all(map(_is_ours, out.iterdir()))):
        raise CamoeError(f"--out {out} holds something else and is left alone; name another folder")


def _holds_a_page(out: Path) -> bool:
    try:
        with open_regular(out / INDEX) as stream:
            return MARK.encode() in stream.read(_HEAD_BYTES)
    except OSError:
        return False


def _is_ours(path: Path) -> bool:
    """Whether a report that was killed before its page was in place may have left this."""
    if path.name == PICTURES and path.is_dir():
        return all(_PICTURE.fullmatch(inside.name) for inside in path.iterdir())
    return path.name == LOCK or (path.name != INDEX and _PAGE.fullmatch(path.name) is not None)


@contextmanager
def report_folder(out: Path) -> Iterator[None]:
    """The folder, made where it is not there, for this report alone; where nothing comes of it, it is gone again.

    Raises `CamoeError` while another report is being written there.
    """
    made = [folder for folder in (out, *out.parents) if not folder.exists()]
    lock = _lock(out)
    try:
        yield
    finally:
        release_lock(out / LOCK, lock)
        with suppress(OSError):
            for folder in made:
                folder.rmdir()


def _lock(out: Path) -> int:
    try:
        out.mkdir(parents=True, exist_ok=True)
        lock = take_lock(out / LOCK)
    except FileNotFoundError:
        lock = None  # whoever wrote there has just removed the folder
    except OSError as error:
        raise CamoeError(f"{out} cannot be written ({error.strerror}); {REMEDY}") from None
    if lock is None:
        raise CamoeError(f"another report is being written to {out}; wait for it to end, or {REMEDY}")
    return lock


def write_page(out: Path, text: str) -> Path:
    """Publish the page, making its folder; letters that no text can hold become question marks."""
    out.mkdir(parents=True, exist_ok=True)
    write_atomic(out / INDEX, text.encode("utf-8", "replace"))
    return out / INDEX


def remove_unused(out: Path, shown: Collection[str]) -> None:
    """Take away the pictures that the page in place does not show, and what was left half-written.

    `shown` are addresses relative to the page. Only for who has the folder alone.
    """
    remove_leftovers(out / INDEX)
    pictures = out / PICTURES
    for path in pictures.glob("*.jpg*"):
        if _PICTURE.fullmatch(path.name) and f"{PICTURES}/{path.name}" not in shown:
            path.unlink()
    with suppress(OSError):
        os.rmdir(pictures)  # where it is empty
