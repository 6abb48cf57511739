"""Own data: a table or json of videos and captions, optionally with windows, splits and caption ids."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path

from ..errors import CamoeError
from .collector import CaptionSet, Collector
from .columns import KNOWN, Columns
from .csv_rows import csv_rows
from .json_rows import json_rows
from .names import VideoFile, VideoItem
from .parquet_rows import parquet_rows
from .rows import Row, Unusable
from .splits import split_videos

PROTOCOL = "own"

FORMATS = {
    **{".csv": "csv", ".tsv": "csv", ".json": "json", ".jsonl": "json", ".ndjson": "json"},
    **{".parquet": "parquet"},
}
"""The format that a suffix stands for."""

READERS: dict[str, Callable[[Path, Columns], Iterator[Row | Unusable]]] = {
    "csv": csv_rows,
    "json": json_rows,
    "parquet": parquet_rows,
}


def read_own(
    path: Path,
    files: list[VideoFile] | None,
    *,
    format: str,
    columns: Columns = KNOWN,
    seed: int = 0,
    known_split: Mapping[str, int] | None = None,
) -> tuple[CaptionSet, list[VideoItem]]:
    """The captions of an own file, and the videos and windows that they are about; `format` is a key of `READERS`.

    `columns` says what the file calls them. Raises `CamoeError` naming the entry that cannot be used, and as
    `collect_own` does.
    """
    return collect_own(READERS[format](path, columns), [path], files, seed=seed, known_split=known_split)


def collect_own(
    rows: Iterable[Row | Unusable],
    sources: Sequence[Path],
    files: list[VideoFile] | None,
    *,
    seed: int = 0,
    known_split: Mapping[str, int] | None = None,
    root: Path | None = None,
) -> tuple[CaptionSet, list[VideoItem]]:
    """The captions in the `rows` of `sources`, and the videos and windows that they are about.

    Rows that repeat video, window and caption are left out. Where no row names a split, videos are split by `seed`,
    those of `known_split` (file id -> subset code) staying where they are. Sources are known by their names, or by
    their paths below `root`. Raises `CamoeError` naming a video in two splits.
    """
    collector = Collector(files)
    seen: set[int] = set()
    split_of: dict[str, int] = {}
    for number, row in enumerate(rows):
        collector.rows = number + 1
        if isinstance(row, Unusable):
            collector.skip(row.reason, row.where)
            continue
        key = hash((row.video, row.text, row.start_s, row.end_s))
        if row.text and key in seen:
            collector.skip("duplicate row", row.where)
            continue
        seen.add(key)
        window = (row.start_s, row.end_s)
        if collector.add(
            row.video, row.text, {PROTOCOL: row.code}, window=window, caption_id=row.caption_id, row=number
        ):
            item = collector.videos()[-1]
            if split_of.setdefault(item, row.code) != row.code:
                raise CamoeError(f"{row.where}: video {item} is in two splits; give each video one")
    if not any(split_of.values()):
        code_of_file = split_videos(map(collector.file_of, split_of), seed, known_split)
        collector.assign(PROTOCOL, {item: code_of_file[collector.file_of(item)] for item in split_of})
    return collector.finish(sources, root=root)
