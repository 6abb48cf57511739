"""The npz that `export` writes, read back; whatever it says is checked as a stranger's file is."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import CamoeError
from .layouts import needed, read_npz
from .schema import DAMAGED, OK, SUBSETS, Captions, Shard, StoreSettings, TextTable, TokenTable, Videos

_WORDS = {"U": "texts", "f": "floats", "iu": "whole numbers"}
_VIDEOS = {
    **dict.fromkeys(("id", "source", "status", "fingerprint"), ("U", 1)),
    **dict.fromkeys(("source_size", "frame_count"), ("iu", 1)),
    **dict.fromkeys(("source_mtime", "duration_s"), ("f", 1)),
    "frames": ("f", 3),
    "frame_time_s": ("f", 2),
}
"""Kind of NumPy type, and rank, of each column."""


def is_export(source: Path) -> bool:
    """Whether an npz was written by `export`, and so says itself how it was made."""
    return source.suffix == ".npz" and source.is_file() and "settings" in read_npz(source)


def read_export(source: Path) -> Shard:
    """The store in an exported npz, as one shard; raises `CamoeError` naming the array that is not as it should be."""
    arrays = read_npz(source)
    try:
        return _Export(source, arrays).shard()
    except (ValueError, TypeError, IndexError, AttributeError, KeyError, OverflowError, RecursionError) as error:
        raise CamoeError(f"{source} is not a whole export ({str(error)[:200]})") from None


class _Export:
    """The arrays of one npz."""

    def __init__(self, source: Path, arrays: dict[str, np.ndarray]) -> None:
        self.source, self.arrays = source, arrays

    def shard(self) -> Shard:
        settings = self._settings()
        captions = self._captions() if "caption_ids" in self.arrays else None
        names = [key.split("/")[1:3] for key in self.arrays if key.startswith("texts/") and key.endswith("/embedding")]
        tables = {(strategy, stream): self._table(f"{strategy}/{stream}", settings) for strategy, stream in names}
        return Shard(
            settings,
            videos=self._videos(settings) if "ids" in self.arrays else None,
            captions=captions,
            texts=tables,
            tokens=self._tokens(settings) if "tokens/values" in self.arrays else None,
            text_notes={"/".join(name): self._json(f"notes/{'/'.join(name)}") for name in tables},
        )

    def _settings(self) -> StoreSettings:
        stated = self._json("settings")
        if stated.get("strategies") is not None:
            stated["strategies"] = tuple(map(str, stated["strategies"]))
        settings = StoreSettings(**stated)
        texts = (settings.clip_model, settings.clip_sha256, settings.precision, *(settings.streams or {}).values())
        numbers = (settings.clip_logit_scale, settings.embed_dim, settings.fps or 1, settings.max_frames or 1)
        if not all(isinstance(text, str) for text in texts):
            raise ValueError("settings hold numbers where texts belong")
        if not all(isinstance(number, int | float) and math.isfinite(number) and number > 0 for number in numbers):
            raise ValueError("settings hold something else where positive numbers belong")
        bias = settings.clip_logit_bias
        if not (bias is None or (isinstance(bias, int | float) and math.isfinite(bias))):
            raise ValueError("settings hold something else where the logit bias belongs")
        return settings

    def _videos(self, settings: StoreSettings) -> Videos:
        columns: dict[str, Any] = {}
        for name in (item.name for item in fields(Videos)):
            key = "ids" if name == "id" else name
            if name != "fingerprint" or key in self.arrays:  # the first version had none
                kind, rank = _VIDEOS[name]
                column = self._array(key, kind, rank)
                columns[name] = column.tolist() if kind == "U" else column
        self._refuse_doubles(columns["id"], "video")
        strange = set(columns["status"]) - {OK, DAMAGED}
        if strange:
            raise ValueError(f"there is no status {min(strange)!r} of a video")
        if columns["frames"].shape[2] != settings.embed_dim:
            raise ValueError(f"frames are {columns['frames'].shape[2]} wide and embed_dim is {settings.embed_dim}")
        return Videos(**columns)

    def _captions(self) -> Captions:
        ids, owners, texts = (self._array(f"caption_{name}", "U", 1).tolist() for name in ("ids", "video_ids", "texts"))
        self._refuse_doubles(list(zip(owners, ids, strict=True)), "caption")
        protocols = {}
        for key in self.arrays:
            if key.startswith("protocols/"):
                codes = self._array(key, "iu", 1)
                if not np.isin(codes, (0, *SUBSETS.values())).all():
                    raise ValueError(f"{key} holds something else than 0 to {max(SUBSETS.values())}")
                protocols[key.removeprefix("protocols/")] = codes.astype(np.uint8)
        shortfall = self._json("shortfall")
        if not all(isinstance(lack, dict) for lack in shortfall.values()):
            raise ValueError("shortfall does not hold an object for each protocol")
        return Captions(ids, owners, texts, protocols, shortfall)

    def _table(self, name: str, settings: StoreSettings) -> TextTable:
        embedding = self._array(f"texts/{name}/embedding", "f", 2)
        if embedding.shape[1] != settings.embed_dim:
            raise ValueError(f"texts/{name} are {embedding.shape[1]} wide and embed_dim is {settings.embed_dim}")
        sentence = self._array(f"texts/{name}/sentence", "U", 1).tolist()
        return TextTable(sentence, embedding, self._array(f"texts/{name}/row", "iu", 1).astype(np.int64))

    def _tokens(self, settings: StoreSettings) -> TokenTable:
        values = self._array("tokens/values", "f", 2)
        if values.shape[1] != settings.embed_dim:
            raise ValueError(f"tokens are {values.shape[1]} wide and embed_dim is {settings.embed_dim}")
        sentence = self._array("tokens/sentence", "U", 1).tolist()
        offsets, row = (self._array(f"tokens/{name}", "iu", 1).astype(np.int64) for name in ("offsets", "row"))
        return TokenTable(sentence, offsets, values, row)

    def _array(self, key: str, kinds: str, rank: int) -> np.ndarray:
        array = needed(self.arrays, self.source, key)
        if array.dtype.kind not in kinds or array.ndim != rank:
            raise ValueError(f"{key} should hold {_WORDS[kinds]} in {rank} axes, not {array.dtype} {array.shape}")
        return array.astype(array.dtype.newbyteorder("="), copy=False)

    def _json(self, key: str) -> dict[str, Any]:
        """The object in a JSON text, empty where there is none: exports of the first version lack some."""
        value = json.loads(str(self.arrays[key])) if key in self.arrays else {}
        if not isinstance(value, dict):
            raise ValueError(f"{key} is no object")
        return value

    def _refuse_doubles(self, names: Sequence[object], what: str) -> None:
        if len(set(names)) < len(names):
            twice = next(name for name in names if names.count(name) > 1)
            raise ValueError(f"the {what} {twice!r} comes twice")
