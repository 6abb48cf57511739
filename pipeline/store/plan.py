"""`plan.jsonl`: which videos belong to which chunk, that is to which shard, of a store that is made of videos.

Whoever comes first writes it, under a lock that others wait for; it is added to when there are new videos, and a video
stays where it is. A line is a video as it was when it was planned; a later line of the same video says that its file
is another now. What a chunk became is told by its shard alone.
"""

from __future__ import annotations

import json
import math
import os
import re
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from ..atomic import write_atomic
from ..captions.names import VideoItem
from ..checksum import sketch
from ..errors import CamoeError
from ..regular import read_regular
from .place import Place
from .reader import FeatureStore

_HEAD: dict[str, Any] = {"plan": 1}
_READERS = 16
"""Files that are looked at together: what takes time on a shared file system is waiting."""


@dataclass(frozen=True, slots=True)
class Planned:
    """A video of the plan: `path` is relative to the folder of videos, `start_s` and `end_s` cut a window of it.

    `size` in bytes (-1: it could not be read), `mtime` in seconds, and a `sketch` of the content, tell whether a file
    is the one that was planned; where the first two are as they were, the content is not looked at.
    """

    id: str
    chunk: int
    path: str
    size: int = -1
    mtime: float = 0.0
    sketch: str = ""
    start_s: float | None = None
    end_s: float | None = None

    def is_same_file(self, path: Path, size: int, mtime: float) -> bool:
        """Whether the file at `path`, of this size and time, is the planned one; raises `OSError`."""
        if not self.sketch or size != self.size:
            return not self.sketch
        return abs(mtime - self.mtime) <= 1e-3 or sketch(path) == self.sketch


@dataclass(frozen=True)
class Begun:
    """How whoever wrote the plan encodes frames, for those who work on it without a shard to look at."""

    precision: str
    batch_size: int


@dataclass(frozen=True)
class Plan:
    """The planned videos by id; `begun` is `None` in plans of earlier versions."""

    videos: Mapping[str, Planned] = field(default_factory=dict)
    begun: Begun | None = None

    @classmethod
    def read(cls, place: Place) -> Plan:
        """The plan of a store, empty where it has none yet; raises `CamoeError` for one that is damaged."""
        try:
            lines = read_regular(place.plan).decode().splitlines()
        except FileNotFoundError:
            return cls()
        except (OSError, UnicodeDecodeError) as error:
            raise _damaged(place.plan, getattr(error, "strerror", None) or "it is not text") from None
        videos: dict[str, Planned] = {}
        begun: Begun | None = None
        for number, line in enumerate(lines, 1):
            try:
                entry = json.loads(line)
                if number == 1:
                    begun = _read_head(entry)
                if number > 1:
                    planned = _read_line(entry)
                    if planned.chunk != videos.get(planned.id, planned).chunk:
                        raise ValueError
                    videos[planned.id] = planned
            except (ValueError, TypeError, RecursionError):
                raise _damaged(place.plan, f"line {number} is not one of a plan") from None
        return cls(videos, begun)

    @property
    def next_chunk(self) -> int:
        return 1 + max((video.chunk for video in self.videos.values()), default=-1)

    @property
    def chunks(self) -> list[int]:
        """The numbers of all chunks, in order."""
        return sorted({video.chunk for video in self.videos.values()})


_TYPES: dict[str, type | tuple[type, ...]] = {
    "id": str, "chunk": int, "path": str, "size": int, "mtime": (int, float), "sketch": str,
    "start_s": (int, float), "end_s": (int, float),
}  # fmt: skip


def _read_head(entry: object) -> Begun | None:
    if entry == _HEAD:
        return None
    if not isinstance(entry, dict) or entry.keys() != {*_HEAD, "precision", "batch_size"}:
        raise ValueError("no head of a plan")
    begun = Begun(entry["precision"], entry["batch_size"])
    if entry != _HEAD | asdict(begun) or not isinstance(begun.precision, str) or type(begun.batch_size) is not int:
        raise ValueError("no head of a plan")
    if not 0 < begun.batch_size < 10**9:
        raise ValueError("batch_size")
    return begun


def _read_line(entry: object) -> Planned:
    if not isinstance(entry, dict):
        raise ValueError("no line of a plan")
    for name, value in entry.items():
        if not isinstance(value, _TYPES.get(name, ())) or isinstance(value, bool):
            raise ValueError(name)
    planned = Planned(**entry)
    if planned.chunk < 0 or not math.isfinite(planned.mtime):
        raise ValueError("chunk")
    return planned


def _damaged(path: Path, reason: str) -> CamoeError:
    return CamoeError(f"{path} cannot be read ({reason}); restore it, or delete it to have it made again")


def extend_plan(
    place: Place,
    store: FeatureStore | None,
    items: Sequence[VideoItem],
    root: Path,
    *,
    chunk_size: int,
    begun: Begun | None = None,
) -> Plan:
    """The plan with all `items` in it, as their files are now; written where that is new, while other writers wait.

    A plan that is new says `begun`; one that is there says what it was begun with.
    """
    plan = Plan.read(place)
    if not _additions(plan, place, store, items, root, chunk_size):
        return plan
    with place.changing():
        plan = Plan.read(place)
        additions = _additions(plan, place, store, items, root, chunk_size)
        if additions:
            if plan.videos:
                before = read_regular(place.plan)
            else:
                plan = Plan(begun=begun)
                before = f"{json.dumps(_HEAD | (asdict(begun) if begun else {}))}\n".encode()
            write_atomic(place.plan, before + "".join(map(_line, additions)).encode())
    return extended(plan, additions)


def planned_now(
    place: Place, store: FeatureStore | None, items: Sequence[VideoItem], root: Path, *, chunk_size: int
) -> Plan:
    """What `extend_plan` would return; nothing is written."""
    plan = Plan.read(place)
    return extended(plan, _additions(plan, place, store, items, root, chunk_size))


def extended(plan: Plan, additions: Iterable[Planned]) -> Plan:
    return Plan({**plan.videos, **{video.id: video for video in additions}}, plan.begun)


def _line(video: Planned) -> str:
    return json.dumps({name: value for name, value in asdict(video).items() if value is not None}) + "\n"


def _additions(
    plan: Plan, place: Place, store: FeatureStore | None, items: Sequence[VideoItem], root: Path, chunk_size: int
) -> list[Planned]:
    """The lines that the plan lacks: of shards made before there was one, of new videos, of files that are others."""
    added = _of_shards(plan, place, store)
    known = {**plan.videos, **{video.id: video for video in added}}
    numbers = [chunk_of_name(path.name) for path in place.folder.glob("frames-*.h5")]
    first = 1 + max([-1, *(video.chunk for video in known.values()), *(n for n in numbers if n is not None)])
    new = [item for item in items if item.id not in known]
    chunk_of = {item.id: first + row // chunk_size for row, item in enumerate(new)}
    chunk_of |= {item.id: known[item.id].chunk for item in items if item.id in known}
    with ThreadPoolExecutor(_READERS, "plan") as pool:
        seen = pool.map(lambda item: _look_at(item, chunk_of[item.id], root, known.get(item.id)), items)
        return added + [video for video in seen if video != known.get(video.id)]


def _look_at(item: VideoItem, chunk: int, root: Path, known: Planned | None) -> Planned:
    """The item's line; the `known` one where its file is still the same."""
    path = relative_source(item.path, root)
    bare = Planned(item.id, chunk, path, start_s=item.start_s, end_s=item.end_s)
    try:
        found = os.stat(item.path)
        if (
            known is not None
            and (known.path, known.start_s, known.end_s) == (path, item.start_s, item.end_s)
            and known.sketch
            and known.is_same_file(item.path, found.st_size, found.st_mtime)
        ):
            return known
        return Planned(item.id, chunk, path, found.st_size, found.st_mtime, sketch(item.path), item.start_s, item.end_s)
    except OSError:
        return bare


def _of_shards(plan: Plan, place: Place, store: FeatureStore | None) -> list[Planned]:
    """Lines for the shards of a store that was begun before there were plans; those are its first chunks."""
    if store is None or plan.videos:
        return []
    found: dict[str, Planned] = {}
    for shard in store.shards:
        chunk = chunk_of_name(shard.path.name)
        if chunk is None or shard.path.parent != place.folder or shard.kind != "frames":
            continue
        source_of = {failure.id: failure.path for failure in shard.failures}
        for video_id in [*shard.video_ids, *source_of]:
            found.setdefault(video_id, Planned(video_id, chunk, source_of.get(video_id, "")))
    return list(found.values())


_NAME = re.compile(r"(?P<stem>[a-z]+)-(?P<chunk>\d{5,})(\.(?P<more>\d+))?\.h5")


def shard_name(chunk: int, supplement: int = 0) -> str:
    """The name of a chunk's shard, or of one that mends it: `frames-00003.h5`, `frames-00003.1.h5`."""
    return f"frames-{chunk:05d}.h5" if not supplement else f"frames-{chunk:05d}.{supplement}.h5"


def chunk_of_name(name: str, stem: str = "frames") -> int | None:
    """The number in a shard's name, `None` where it has none."""
    found = _NAME.fullmatch(name)
    return int(found["chunk"]) if found is not None and found["stem"] == stem else None


def supplement_of_name(name: str) -> int:
    """Which supplement of its chunk a shard is, 0 for the chunk itself."""
    found = _NAME.fullmatch(name)
    return int(found["more"] or 0) if found is not None else 0


def relative_source(path: Path, root: Path) -> str:
    """A source's path relative to the videos' folder, with `/`."""
    return path.relative_to(root).as_posix() if path.is_relative_to(root) else path.as_posix()
