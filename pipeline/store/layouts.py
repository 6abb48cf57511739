"""Features made elsewhere, as they lie on disk: one `Item` a video, read when it is needed. No pickle is ever opened.

folder of .npy    ID.npy, each (T, D) or (D,); video_features' ID_clip.npy with ID_fps.npy and ID_timestamps_ms.npy;
                  clip-video-encode's ID.npy, ID.txt (a caption), ID.json
tar files         clip-video-encode's WebDataset: the same names inside .tar files, `.txt` or `.cap` for the caption
npz               ids (N,), frames (N, T, D) and, where they differ in length, frame_count (N,); frame_time_s
"""

from __future__ import annotations

import io
import json
import math
import tarfile
import warnings
import zipfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path, PurePosixPath
from typing import Any, BinaryIO

import numpy as np

from ..errors import CamoeError

_EXTRAS = ("_timestamps_ms", "_fps")
_CAPTIONS = (".txt", ".cap")
_PLAIN_KINDS = "fiubUS"
_MAX_BYTES = 1 << 30
"""Of one video's features."""


@dataclass(frozen=True)
class Item:
    """One video: `source` for people, and what gives its frames `(T, D)` or `(D,)` and their times in seconds.

    `load` and `load_times` raise `CamoeError` for whatever keeps an array from being read.
    """

    id: str
    source: str
    load: Callable[[], np.ndarray]
    load_times: Callable[[], np.ndarray] | None = None
    caption: str | None = None


@dataclass(frozen=True)
class _Entry:
    """A file of a folder or a tar."""

    name: str
    where: str
    read: Callable[[], bytes]


def find_items(source: Path) -> list[Item]:
    """The videos of `source`, sorted by id; raises `CamoeError` for a layout that is not known."""
    for name, (applies, read) in LAYOUTS.items():
        if applies(source):
            items = sorted(read(source), key=lambda item: item.id)
            if not items:
                raise CamoeError(f"{source} holds no features ({name}); give a folder of .npy, .tar files or an .npz")
            for item, following in pairwise(items):
                if item.id == following.id:
                    raise CamoeError(
                        f"video {item.id!r} has two arrays, {item.source} and {following.source}; leave one of them"
                    )
            return items
    raise CamoeError(f"{source} is not a folder of .npy, an .npz or a .tar")


# -- folders and tars


def _folder_items(folder: Path) -> Iterator[Item]:
    entries = (
        _Entry(str(path.relative_to(folder)), str(path), _reader(path))
        for path in sorted(folder.rglob("*"))
        if path.suffix in (".npy", *_CAPTIONS, ".json") and path.is_file()
    )
    return _items_of(list(entries))


def _reader(path: Path) -> Callable[[], bytes]:
    def read() -> bytes:
        with _told_of(path):
            if path.stat().st_size > _MAX_BYTES:
                raise CamoeError(f"{path} is larger than {_MAX_BYTES:,} bytes; features of one video never are")
            return path.read_bytes()

    return read


def _tar_items(source: Path) -> Iterator[Item]:
    tars = [source] if source.is_file() else sorted(source.rglob("*.tar"))
    entries = [entry for tar in tars for entry in _tar_entries(tar)]
    return _items_of(entries)


def _tar_entries(path: Path) -> Iterator[_Entry]:
    with _told_of(path), tarfile.open(path, "r:") as tar:
        members = [member for member in tar if member.isfile() and member.sparse is None]
    size = path.stat().st_size
    for member in members:
        if member.size > _MAX_BYTES or member.offset_data + member.size > size:
            raise CamoeError(f"{path}: {member.name} declares {member.size:,} bytes; the file is cut or hostile")
        yield _Entry(member.name, f"{path}:{member.name}", _tar_reader(path, member.offset_data, member.size))


def _tar_reader(path: Path, offset: int, size: int) -> Callable[[], bytes]:
    def read() -> bytes:
        with _told_of(path), open(path, "rb") as stream:
            stream.seek(offset)
            return stream.read(size)

    return read


def _items_of(entries: Iterable[_Entry]) -> Iterator[Item]:
    """Files grouped by the video that their names begin with."""
    by_name = {PurePosixPath(entry.name): entry for entry in entries}
    stems = [name.with_suffix("") for name in by_name if name.suffix == ".npy"]
    base_of = {stem: _without(stem, _extra(stem)) for stem in stems if _extra(stem)}
    bases = set(base_of.values())
    video_of = {stem: _longest_prefix(stem, bases) for stem in stems if stem not in base_of}
    video_of |= {stem: stem for stem, base in base_of.items() if base not in video_of.values()}
    for stem, video in video_of.items():
        entry = by_name[_with(stem, ".npy")]
        caption = next((by_name[path] for suffix in _CAPTIONS if (path := _with(stem, suffix)) in by_name), None)
        yield Item(
            video.name,
            entry.where,
            lambda entry=entry: parse_npy(entry.read(), entry.where),  # type: ignore[misc]
            _times(by_name.get(_with(video, "_timestamps_ms.npy"))),
            _caption(caption, by_name.get(_with(stem, ".json"))),
        )


def _extra(stem: PurePosixPath) -> str:
    """The end of a name that video_features gives to what is no feature; empty for a feature."""
    return next((end for end in _EXTRAS if stem.name.endswith(end) and stem.name != end), "")


def _without(stem: PurePosixPath, end: str) -> PurePosixPath:
    return stem.with_name(stem.name.removesuffix(end))


def _longest_prefix(stem: PurePosixPath, bases: set[PurePosixPath]) -> PurePosixPath:
    """The base `X` of `X_clip`, or the name itself."""
    parts = stem.name.split("_")
    for length in range(len(parts) - 1, 0, -1):
        name = "_".join(parts[:length])
        if name and stem.with_name(name) in bases:
            return stem.with_name(name)
    return stem


def _with(stem: PurePosixPath, end: str) -> PurePosixPath:
    return stem.with_name(stem.name + end)


def _times(entry: _Entry | None) -> Callable[[], np.ndarray] | None:
    if entry is None:
        return None
    return lambda: parse_npy(entry.read(), entry.where).astype(np.float64).reshape(-1) / 1000


def _caption(text: _Entry | None, about: _Entry | None) -> str | None:
    if text is not None:
        return text.read().decode("utf-8", "replace").strip()
    if about is None:
        return None
    try:
        known = json.loads(about.read())
    except (ValueError, RecursionError):
        return None
    caption = known.get("caption") if isinstance(known, dict) else None
    return caption.strip() if isinstance(caption, str) else None


# -- npz


def _npz_items(path: Path) -> Iterator[Item]:
    arrays = read_npz(path)
    ids, frames = needed(arrays, path, "ids"), needed(arrays, path, "frames")
    if frames.ndim not in (2, 3) or ids.ndim != 1 or len(ids) != len(frames):
        raise CamoeError(f"{path}: frames should be (N, T, D) and ids (N,), not {frames.shape} and {ids.shape}")
    if frames.ndim == 2:
        frames = frames[:, None]
    count = arrays.get("frame_count", np.full(len(frames), frames.shape[1]))
    if count.shape != ids.shape or count.dtype.kind not in "iu" or (count > frames.shape[1]).any():
        raise CamoeError(f"{path}: frame_count should hold N numbers up to {frames.shape[1]}")
    times = arrays.get("frame_time_s")
    if times is not None and times.shape != frames.shape[:2]:
        raise CamoeError(f"{path}: frame_time_s should be {frames.shape[:2]}, not {times.shape}")
    for row, (video_id, length) in enumerate(zip(ids.tolist(), count.tolist(), strict=True)):
        yield Item(
            str(video_id),
            f"{path}:{video_id}",
            lambda row=row, length=length: frames[row, : max(0, length)],  # type: ignore[misc]
            None if times is None else lambda row=row, length=length: times[row, :length],  # type: ignore[misc]
        )


def read_npz(path: Path) -> dict[str, np.ndarray]:
    """The arrays of an npz, without pickles and never more bytes than its members say and the disk holds 100 times."""
    with _told_of(path), zipfile.ZipFile(path) as archive:
        members = archive.infolist()
        if sum(member.file_size for member in members) > 100 * path.stat().st_size + _MAX_BYTES:
            raise CamoeError(f"{path} unfolds to far more than it holds; do not trust this file")
        return {
            member.filename.removesuffix(".npy"): parse_npy(archive.read(member), f"{path}:{member.filename}")
            for member in members
            if member.filename.endswith(".npy")
        }


def needed(arrays: dict[str, np.ndarray], path: Path, name: str) -> np.ndarray:
    if name not in arrays:
        raise CamoeError(f"{path} has no array {name!r}; it has {', '.join(arrays) or 'none'}")
    return arrays[name]


# -- npy


def parse_npy(content: bytes, where: str) -> np.ndarray:
    """The array in the bytes of an .npy file; raises `CamoeError` for pickles and sizes that are not there."""
    stream = io.BytesIO(content)
    with _told_of(where):
        shape, dtype = _npy_header(stream)
        if dtype.hasobject:
            raise CamoeError(f"{where} holds pickled objects, which are never opened; save plain numbers")
        if dtype.kind not in _PLAIN_KINDS or dtype.shape:
            raise CamoeError(f"{where} holds {dtype}; save plain numbers or texts")
        if math.prod(shape) * dtype.itemsize != len(content) - stream.tell():
            raise CamoeError(f"{where} declares an array {shape} of {dtype}, which it does not hold; it is damaged")
        stream.seek(0)
        array: np.ndarray = np.load(stream, allow_pickle=False)
        return array


def _npy_header(stream: BinaryIO) -> tuple[tuple[int, ...], np.dtype]:
    version = np.lib.format.read_magic(stream)
    read: Any = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    shape, _, dtype = read(stream)
    return shape, dtype


@contextmanager
def _told_of(where: object) -> Iterator[None]:
    """Whatever the libraries find wrong with bytes that anyone may have written, as one sentence that names the file.

    A broken header alone makes NumPy raise seven kinds of errors (SyntaxError, TokenError, TypeError, …), so no list
    of them is complete.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    except CamoeError:
        raise
    except Exception as error:
        reason = str(error).splitlines()[0][:200] if str(error) else type(error).__name__
        raise CamoeError(f"{where} cannot be read ({reason})") from None


LAYOUTS: dict[str, tuple[Callable[[Path], bool], Callable[[Path], Iterable[Item]]]] = {
    "npz": (lambda path: path.is_file() and path.suffix == ".npz", _npz_items),
    "tar": (
        lambda path: path.suffix == ".tar" if path.is_file() else next(path.rglob("*.tar"), None) is not None,
        _tar_items,
    ),
    "folder of .npy": (Path.is_dir, _folder_items),
}
"""Whether a layout applies to a path, and what reads it."""
