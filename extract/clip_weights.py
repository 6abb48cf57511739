"""Which CLIP is meant: a built-in one, a file, or one of OpenAI's names with its weights in the cache."""

from __future__ import annotations

import hashlib
import shutil
import socket
import tempfile
import urllib.error
import warnings
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from types import ModuleType

from ..pipeline.checksum import file_sha256
from ..pipeline.errors import CamoeError
from ..pipeline.wording import short_hash
from .clip_parts import PUBLISHED

TINY = "tiny"
_FOLDER = Path(__file__).parent / "tiny"
BUILT_IN = {TINY: _FOLDER / "tiny.pt", "tiny-hard": _FOLDER / "tiny-hard.pt"}
"""The demo's own small models, by the name of `--clip`."""
_CONNECT_TIMEOUT_S = 20.0


@dataclass(frozen=True)
class Weights:
    """A weights file on disk: the name to show, where it lies, and its SHA-256.

    `config` is what else decides what a model makes of its weights, in JSON, where these do not tell (OpenAI's do).
    `prefix` and a path name the same model by a file elsewhere, as `--clip` takes it.
    """

    name: str
    path: Path
    sha256: str
    config: str = ""
    prefix: str = ""

    @property
    def identity(self) -> str:
        """What a store keeps as its model's SHA-256: that of the weights, and of `config` where there is one."""
        return hashlib.sha256(f"{self.sha256} {self.config}".encode()).hexdigest() if self.config else self.sha256


@cache
def clip_package() -> ModuleType:
    """OpenAI's `clip`, whole: for a download, or to compare with; everything else takes its parts (`clip_parts.py`).

    Without the deprecation warnings of its imports.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import clip.clip
        import clip.model
        import clip.simple_tokenizer
    return clip


def find_weights(name_or_path: str, cache_folder: Path | None = None) -> Weights:
    """The weights for a built-in model, a file (see `clip_files.py`), or a name such as `ViT-B/32`.

    Weights by name are looked up in `cache_folder` (default `~/.cache/clip`) and fetched into it when absent. Raises
    `CamoeError` for an unknown name, a file whose SHA-256 is wrong, or weights that cannot be fetched, saying which
    file to put where.
    """
    if name_or_path in BUILT_IN:
        built_in = BUILT_IN[name_or_path]
        return Weights(name_or_path, built_in, file_sha256(built_in))
    path = Path(name_or_path).expanduser()
    if path.is_file():
        return Weights(path.name, path, _sha256(path))
    if name_or_path not in PUBLISHED:
        found = "a folder, not a weights file" if path.is_dir() else "neither a file nor a known model"
        raise CamoeError(
            f"--clip {name_or_path}: {found}; give a weights file, or one of {', '.join((*BUILT_IN, *PUBLISHED))}; "
            "other models (SigLIP, …) are --clip open_clip:NAME/TAG, or come in by camoe-store import"
        )
    return _cached_weights(name_or_path, PUBLISHED[name_or_path], cache_folder or Path.home() / ".cache" / "clip")


def _sha256(path: Path) -> str:
    try:
        return file_sha256(path)
    except OSError as error:
        raise CamoeError(f"--clip {path} cannot be read ({error.strerror}); make it readable or give another") from None


def _cached_weights(name: str, url: str, folder: Path) -> Weights:
    expected, file_name = url.split("/")[-2:]
    target = folder / file_name
    if not target.is_file():
        _fetch(name, url, expected, target)
    found = _sha256(target)
    if found != expected:
        raise CamoeError(
            f"{target} is not {name}: its SHA-256 is {short_hash(found)}, not {short_hash(expected)}; delete it and "
            "run the command again, which fetches it"
        )
    return Weights(name, target, found)


def _fetch(name: str, url: str, expected: str, target: Path) -> None:
    """Download by the `clip` package, aside, so that a broken download leaves nothing under the final name."""
    made = [folder for folder in (target.parent, *target.parent.parents) if not folder.exists()]
    timeout = socket.getdefaulttimeout()
    socket.setdefaulttimeout(_CONNECT_TIMEOUT_S)
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=target.parent, prefix=".download-") as aside:
            fetched = clip_package().clip._download(url, aside)
            shutil.move(fetched, target)
    except (urllib.error.URLError, RuntimeError, OSError, TimeoutError) as error:
        for folder in made:
            folder.rmdir()
        reason = getattr(error, "reason", error)
        raise CamoeError(
            f"--clip {name}: its weights are not in {target.parent} and could not be fetched ({reason}); "
            f"download {url} (SHA-256 {expected}) on a machine with a network and put it there as {target.name}, "
            f"or use --clip {TINY} for a trial"
        ) from None
    finally:
        socket.setdefaulttimeout(timeout)
