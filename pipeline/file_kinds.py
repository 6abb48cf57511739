"""What a file is by its first bytes, where something else was wanted."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

from .regular import open_regular

HDF5 = "an HDF5 file, such as a feature store"
PARQUET = "a parquet file"
_VIDEO = "a video"
_KINDS = (
    (0, b"\x89HDF\r\n\x1a\n", HDF5),
    (0, b"PAR1", PARQUET),
    (4, b"ftyp", _VIDEO),
    (0, b"\x1a\x45\xdf\xa3", _VIDEO),
    (8, b"AVI ", _VIDEO),
    (0, b"PK\x03\x04", "a zip archive, such as an Excel workbook or an .npz"),
    (0, b"\xd0\xcf\x11\xe0", "an Office document, such as an Excel workbook"),
    (0, b"\x1f\x8b", "a gzip archive"),
    (0, b"%PDF", "a PDF"),
    (0, b"\x89PNG", "a picture"),
    (0, b"\xff\xd8\xff", "a picture"),
    (0, b"\x93NUMPY", "a NumPy array"),
)
"""Where in the file which bytes stand, and what it is then."""


def file_kind(path: str | os.PathLike[str]) -> str | None:
    """`a video`, `an HDF5 file, such as a feature store`, …; None for text, and for what is not known or not there."""
    with suppress(OSError), open_regular(Path(path)) as stream:
        first = stream.read(16)
        return next((kind for place, mark, kind in _KINDS if first[place:].startswith(mark)), None)
    return None
