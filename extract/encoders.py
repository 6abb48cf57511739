"""Which encoder `--clip` names: OpenAI's by a name or a file, another family's by `FAMILY:…`."""

from __future__ import annotations

import re
from collections.abc import Callable
from importlib import import_module
from importlib.metadata import entry_points
from pathlib import Path

from ..pipeline.config import unknown_name
from ..pipeline.errors import CamoeError
from .clip_encoder import ClipEncoder
from .clip_parts import PUBLISHED
from .clip_tokens import CLIP_TOKENS
from .clip_weights import BUILT_IN
from .encoder import Encoder
from .text_tokens import Tokens

Loader = Callable[[str, str, str, Path | None], Encoder]
"""Called with what follows `FAMILY:`, the device, the precision (both may be `auto`) and `--clip-cache`."""

ENTRY_POINTS = "camoe.encoders"
"""Group of entry points by which another package adds a family: each names a `Loader`."""

_OURS = {"open_clip": ".open_clip_encoder"}
_FAMILY = re.compile(r"[A-Za-z][\w-]+")
"""Two letters or more: one is a drive."""
_REGISTERED: dict[str, Loader] = {}


def register_encoder(family: str, loader: Loader) -> None:
    """Have `--clip FAMILY:REST` load by `loader`; raises `CamoeError` for a family that another has."""
    if family in _OURS or _REGISTERED.get(family, loader) is not loader:
        raise CamoeError(f"there is a family of encoders {family!r} already; register yours under another name")
    _REGISTERED[family] = loader


def load_encoder(clip: str, device: str = "auto", precision: str = "auto", cache_folder: Path | None = None) -> Encoder:
    """The encoder that `clip` names, in inference mode; raises `CamoeError` where it cannot be had."""
    family, colon, rest = clip.partition(":")
    loader = _loader(family) if rest and not Path(clip).exists() else None
    if loader is None and colon and not Path(clip).exists() and _FAMILY.fullmatch(family):
        raise CamoeError(f"--clip {clip}: {_no_family(family)}")
    load: Loader = ClipEncoder.load if loader is None else loader
    return load(clip if loader is None else rest, device, precision, cache_folder)


def tokens_of(clip: str, cache_folder: Path | None = None) -> Tokens:
    """Its tokenizer; for OpenAI's models without their weights."""
    return load_encoder(clip, "cpu", "fp32", cache_folder).tokens if has_family(clip) else CLIP_TOKENS


def has_family(clip_model: str) -> bool:
    """Whether a store's model is not one of OpenAI's, but of a family that is known here."""
    family, _, rest = clip_model.partition(":")
    return bool(rest) and _loader(family) is not None


def is_fixed(clip_model: str) -> bool:
    """Whether it is a built-in model or one of OpenAI's names, which stand for the same weights anywhere."""
    return clip_model in (*BUILT_IN, *PUBLISHED)


def is_named(clip_model: str) -> bool:
    """Whether the model that a store names can be had by that name, which for one from a file it cannot."""
    return is_fixed(clip_model) or (has_family(clip_model) and not Path(clip_model).suffix)


def file_form(clip_model: str) -> str:
    """How `--clip` names a store's model by its weights file: `open_clip:ViT-B-32/FILE`."""
    return f"{clip_model.rpartition('/')[0]}/FILE" if has_family(clip_model) else "FILE"


def missing_family(clip_model: str) -> str | None:
    """The family that a store's model seems to be of, where no package brings it here."""
    family, colon, _ = clip_model.partition(":")
    return family if colon and _FAMILY.fullmatch(family) and not has_family(clip_model) else None


def _no_family(family: str) -> str:
    known = sorted({*_OURS, *_REGISTERED, *(point.name for point in entry_points(group=ENTRY_POINTS))})
    if family in known:
        return f"name a model after {family}:, as {family}:NAME"
    return f"{unknown_name(family, known, 'family of encoders')} (other packages bring theirs when they are installed)"


def _loader(family: str) -> Loader | None:
    if family in _OURS:
        loader: Loader = import_module(_OURS[family], __package__).load
        return loader
    for point in () if family in _REGISTERED else entry_points(group=ENTRY_POINTS, name=family):
        try:
            register_encoder(family, point.load())
        except Exception as error:  # a package of somebody else's
            raise CamoeError(
                f"the encoders {family} ({point.value}) cannot be loaded: {error}; mend or remove the package"
            ) from error
    return _REGISTERED.get(family)
