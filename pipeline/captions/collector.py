"""A set of captions, and the collector that is filled caption by caption."""

from __future__ import annotations

import hashlib
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from ..checksum import file_sha256
from ..errors import CamoeError
from ..store.schema import SUBSETS
from ..wording import counted
from .names import FileIndex, VideoFile, VideoItem, plain_name
from .text import check_storable, clean_caption

_FIRST_MISSING = 5
_NAMED = 3


@dataclass(frozen=True)
class CaptionSet:
    """`M` captions, sorted by `caption_id`, and what was left out.

    `protocols` maps a protocol to the subset code of each caption, `(M,)` uint8 (0 unused, 1 train, 2 val, 3 test);
    `shortfall` says per protocol what the data set publishes and this copy lacks; `skipped` counts captions that were
    left out, or cut, per reason; `sources` maps the annotation files' names to their SHA-256. `row` says which row of
    an own file, of `rows`, each caption is, for what was computed row by row elsewhere; benchmarks have no such rows.
    """

    caption_id: list[str]
    video_id: list[str]
    text: list[str]
    protocols: dict[str, np.ndarray] = field(default_factory=dict)
    shortfall: dict[str, dict] = field(default_factory=dict)
    skipped: dict[str, int] = field(default_factory=dict)
    sources: dict[str, str] = field(default_factory=dict)
    row: list[int] = field(default_factory=list)
    rows: int = 0

    @property
    def sha256(self) -> str:
        """One sum for all annotation files."""
        lines = "".join(f"{digest}  {name}\n" for name, digest in sorted(self.sources.items()))
        return hashlib.sha256(lines.encode()).hexdigest()


class Collector:
    """Takes captions one by one, leaves out what cannot be used, and counts it.

    `files` is `None` where only captions are read: no caption is then left out for want of a video.
    """

    def __init__(self, files: list[VideoFile] | None) -> None:
        self.files = FileIndex(files) if files is not None else None
        self.skipped: Counter[str] = Counter()
        self._first: dict[str, str] = {}
        """Where the first row lies that was left out, by the reason."""
        self.missing_files: list[str] = []
        self._own_ids: dict[int, str] = {}
        self._rows: list[int] = []
        self.rows = 0
        """How many rows an own file has, those included that are left out."""
        self._video: list[str] = []
        self._text: list[str] = []
        self._codes: dict[str, bytearray] = {}
        self._missing: dict[str, set[str]] = defaultdict(set)
        self._unknown: Counter[str] = Counter()
        """Captions of each video that is not there."""
        self._interned: dict[str, str] = {}
        self._windows: dict[str, VideoItem] = {}
        self._whole: set[str] = set()

    def __len__(self) -> int:
        return len(self._text)

    def skip(self, reason: str, where: str) -> None:
        """Count a row that is left out."""
        self.skipped[reason] += 1
        self._first.setdefault(reason, where)

    def add(
        self,
        video: str,
        text: str,
        subsets: Mapping[str, int],
        *,
        window: tuple[float | None, float | None] = (None, None),
        caption_id: str | None = None,
        row: int | None = None,
    ) -> bool:
        """Take one caption of the video that the data set calls `video`; `subsets` maps protocols to subset codes.

        Returns whether it was kept. Raises `CamoeError` for text that is not valid Unicode, and for a name that could
        mean several files.
        """
        check_storable(video, "the video id")
        check_storable(text, f"a caption of {video}:")
        check_storable(caption_id or "", f"video {video}: the caption_id")
        text, told = clean_caption(text)
        if told:
            self.skipped[told] += 1
        if not text:
            return False
        file = self.files.find(video) if self.files else None
        if self.files and file is None and window != (None, None):
            file, window = self.files.find(_window_id(video, window)), (None, None)  # a window cut out beforehand
        if self.files and file is None:
            self._unknown[video] += 1
            for protocol, code in subsets.items():
                if code:
                    self._missing[protocol].add(video)
            return False
        name = file.id if file else plain_name(video)
        self._append(self._item(name, file, window), text, subsets, caption_id)
        if row is not None:
            self._rows.append(row)
        return True

    def _item(self, name: str, file: VideoFile | None, window: tuple[float | None, float | None]) -> str:
        """The id of the video item: the file's, or that of a window in it."""
        name = self._interned.setdefault(name, name)
        if window == (None, None):
            self._whole.add(name)
            return name
        item = _window_id(name, window)
        if item not in self._windows:
            start, end = window
            self._windows[item] = VideoItem(item, file.path if file else Path(name), start, end)
        return self._windows[item].id

    def _append(self, video: str, text: str, subsets: Mapping[str, int], caption_id: str | None) -> None:
        place = len(self._text)
        self._video.append(video)
        self._text.append(text)
        if caption_id is not None:
            self._own_ids[place] = caption_id
        for protocol, code in subsets.items():
            codes = self._codes.setdefault(protocol, bytearray())
            codes.extend(bytes(place - len(codes)))
            codes.append(code)

    def videos(self) -> list[str]:
        """The id of each caption's video item, in the order of `add`."""
        return self._video

    def file_of(self, item: str) -> str:
        """The file that a video item is cut from."""
        return item.rpartition("@")[0] if item in self._windows else item

    def assign(self, protocol: str, code_of_video: Mapping[str, int]) -> None:
        """Give every caption the subset of its video; videos that are not there belong to no subset then."""
        self._missing.pop(protocol, None)
        self._codes[protocol] = bytearray(code_of_video.get(video, 0) for video in self._video)

    def finish(
        self,
        sources: Iterable[Path],
        published: Mapping[str, Mapping[str, int]] | None = None,
        *,
        window: tuple[float | None, float | None] = (None, None),
        root: Path | None = None,
    ) -> tuple[CaptionSet, list[VideoItem]]:
        """The captions sorted by id, and the videos to extract.

        `published` holds the sizes that papers report for each protocol, for example `{"msvd": {"test videos": 670}}`;
        what differs becomes the shortfall. `window` (seconds) is the part of each file that the data set is about.
        Sources are known by their names, or by their paths below `root`.
        Raises `CamoeError` if no caption is left, if two captions of a video have one id, or if a window of one file
        would have the id of another.
        """
        paths = list(sources)
        if not self._text:
            raise CamoeError(self._nothing_left(paths))
        ids = self._caption_ids()
        order = sorted(range(len(ids)), key=ids.__getitem__)
        protocols = {}
        for name, codes in self._codes.items():
            padded = np.zeros(len(ids), dtype=np.uint8)
            padded[: len(codes)] = np.frombuffer(bytes(codes), dtype=np.uint8)
            protocols[name] = padded[order]
        videos = [self._video[place] for place in order]
        captions = CaptionSet(
            caption_id=[ids[place] for place in order],
            video_id=videos,
            text=[self._text[place] for place in order],
            protocols=protocols,
            shortfall=self._shortfall(videos, protocols, published or {}),
            skipped=self._told(),
            sources={str(path.relative_to(root)) if root else path.name: file_sha256(path) for path in paths},
            row=[self._rows[place] for place in order] if self._rows else [],
            rows=self.rows,
        )
        return captions, self._items(window)

    def _caption_ids(self) -> list[str]:
        """The data set's own ids, or `video#003`."""
        seen: Counter[str] = Counter()
        numbers = []
        for video in self._video:
            numbers.append(seen[video])
            seen[video] += 1
        width = max(3, len(str(max(numbers))))
        ids = [
            self._own_ids.get(place, f"{video}#{number:0{width}d}")
            for place, (video, number) in enumerate(zip(self._video, numbers, strict=True))
        ]
        twice, count = Counter(zip(self._video, ids, strict=True)).most_common(1)[0]
        if count > 1:
            raise CamoeError(f"two captions of video {twice[0]} have the caption_id {twice[1]!r}; make them differ")
        return ids

    def _told(self) -> dict[str, int]:
        """The counts of what was left out; of videos that are not there, some by name."""
        told = {
            f"{reason}; first: {self._first[reason]}" if reason in self._first else reason: count
            for reason, count in self.skipped.items()
        }
        if self._unknown:
            names = sorted(self._unknown)
            more = ", …" if len(names) > _NAMED else ""
            told[f"video not found: {', '.join(names[:_NAMED])}{more}"] = self._unknown.total()
        return told

    def _items(self, window: tuple[float | None, float | None]) -> list[VideoItem]:
        """Every file, and every window; a file of which only windows have captions is not read whole."""
        cut = {self.file_of(item) for item in self._windows} - self._whole
        files = self.files.files if self.files else []
        path_of = {name: Path(name) for name in self._whole} | {file.id: file.path for file in files}
        for item in sorted(set(path_of) & set(self._windows)):
            raise CamoeError(
                f"the window {item.rpartition('@')[2]} of {self._windows[item].path} and the file {path_of[item]} have "
                f"one id ({item!r}); rename the file, or change the window"
            )
        whole = [VideoItem(file.id, file.path, *window) for file in files if file.id not in cut]
        return sorted([*whole, *self._windows.values()], key=lambda item: item.id)

    def _shortfall(
        self, videos: list[str], protocols: Mapping[str, np.ndarray], published: Mapping[str, Mapping[str, int]]
    ) -> dict[str, dict]:
        found = {}
        for protocol, codes in protocols.items():
            sizes = subset_sizes(videos, codes)
            expected = published.get(protocol, {})
            wrong = {key: size for key, size in expected.items() if sizes.get(key, 0) != size}
            missing = sorted(self._missing.get(protocol, ()))
            if wrong or missing:
                found[protocol] = {
                    "expected": wrong,
                    "found": {key: sizes.get(key, 0) for key in wrong},
                    "missing_videos": len(missing),
                    "first_missing": missing[:_FIRST_MISSING],
                    "missing_files": list(self.missing_files),
                }
        return found

    def _nothing_left(self, paths: list[Path]) -> str:
        name = ", ".join(path.name for path in paths)
        if self._unknown and self.files:
            wanted = next((min(videos) for videos in self._missing.values() if videos), min(self._unknown))
            have = next((file.id for file in self.files.files), None)
            there = f"{counted(len(self.files.files), 'video')}, such as {have!r}" if have else "no video"
            return (
                f"{name}: none of its captions is about a video of the folder (it asks for {wanted!r}, the folder has "
                f"{there}); check --videos and the video ids"
            )
        reasons = "; ".join(f"{count} left out: {reason}" for reason, count in self._told().items())
        return f"{name} holds no caption that can be used ({reasons})" if reasons else f"{name} holds no captions"


def subset_sizes(videos: list[str], codes: np.ndarray) -> dict[str, int]:
    """`{"train videos": …, "train captions": …, …}` of the subsets that occur."""
    sizes = {}
    for subset, code in SUBSETS.items():
        inside = np.flatnonzero(codes == code)
        if len(inside):
            sizes[f"{subset} videos"] = len({videos[place] for place in inside.tolist()})
            sizes[f"{subset} captions"] = len(inside)
    return sizes


def _window_id(video: str, window: tuple[float | None, float | None]) -> str:
    return f"{plain_name(video)}@{'-'.join(map(_seconds, window))}"


def _seconds(value: float | None) -> str:
    return "" if value is None else f"{value:.3f}".rstrip("0").rstrip(".")
