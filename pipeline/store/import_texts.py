"""Captions and their embeddings, computed elsewhere, as they are imported."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from ..captions.collector import CaptionSet
from ..captions.columns import Columns
from ..captions.names import VideoFile
from ..captions.own import FORMATS, read_own
from ..errors import CamoeError
from .layouts import parse_npy
from .reader import FeatureStore
from .schema import FULL, FUSION, Captions, TextName, TextTable

Texts = dict[TextName, TextTable]


def parse_texts(specs: Sequence[str]) -> dict[TextName, Path]:
    """`FILE.npy` (the whole captions) and `STRATEGY/STREAM=FILE.npy` by (strategy, stream)."""
    texts: dict[TextName, Path] = {}
    for spec in specs:
        name, equals, path = spec.rpartition("=")
        strategy, slash, stream = name.partition("/") if equals else (FULL, "/", FUSION)
        if not (path and slash and _is_word(strategy) and _is_word(stream)):
            raise CamoeError(f"--texts {spec!r} is not FILE.npy or STRATEGY/STREAM=FILE.npy")
        texts[strategy, stream] = Path(path)
    return texts


def _is_word(text: str) -> bool:
    return text not in ("id", "video_id", "text", "") and all(letter.isalnum() or letter in "-_" for letter in text)


def read_texts(
    path: Path, texts: Mapping[TextName, Path], videos: list[VideoFile], width: int, seed: int, columns: Columns
) -> tuple[CaptionSet, Captions, Texts]:
    """The captions at `path`, read as extraction reads them, and a table for each of `texts`.

    Each `.npy` of `texts` is `(M, width)`, a row for each caption of the file in order, those included that are left
    out. Raises `CamoeError` for other shapes, values that are not finite, and captions that cannot be read.
    """
    if path.suffix.lower() not in FORMATS:
        raise CamoeError(f"--captions {path} should end in {', '.join(FORMATS)}")
    found, _ = read_own(path, videos, format=FORMATS[path.suffix.lower()], columns=columns, seed=seed)
    captions = Captions(found.caption_id, found.video_id, found.text, found.protocols, found.shortfall)
    return found, captions, {name: _read_table(source, found, path, width) for name, source in texts.items()}


def _read_table(path: Path, found: CaptionSet, captions: Path, width: int) -> TextTable:
    """One sentence for each distinct caption; it has the first embedding that is given for it."""
    try:
        embedding = parse_npy(path.read_bytes(), str(path))
    except OSError as error:
        raise CamoeError(f"{path} cannot be read ({error.strerror})") from None
    if embedding.dtype.kind != "f" or embedding.shape != (found.rows, width):
        raise CamoeError(
            f"{path} should hold floats {(found.rows, width)}, a row for each caption of {captions}, "
            f"not {embedding.dtype} {embedding.shape}"
        )
    place: dict[str, int] = {}
    row = np.array([place.setdefault(text, len(place)) for text in found.text], np.int64)
    first = np.unique(row, return_index=True)[1]
    with np.errstate(over="ignore"):
        return TextTable(list(place), embedding[np.array(found.row)[first]].astype(np.float16), row)


def differing_text(store: FeatureStore, captions: Captions, texts: Texts) -> str | None:
    """The first of `texts` that the store holds and that has other embeddings, or other captions, there."""
    keys = list(zip(captions.video_id, captions.id, strict=True))
    there = {key: row for row, key in enumerate(zip(store.caption_video_ids, store.caption_ids, strict=True))}
    for name, table in texts.items():
        if name not in store.text_names:
            continue
        held = store.text_table(*name)
        rows = [there.get(key, -1) for key in keys]
        same = -1 not in rows and np.array_equal(held.embedding[held.row[rows]], table.embedding[table.row])
        if not same:
            return "/".join(name)
    return None
