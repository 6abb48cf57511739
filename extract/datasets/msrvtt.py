"""MSR-VTT: 10,000 clips with about 20 captions each, and its three ways of being split.

`msrvtt-1ka-9k` and `msrvtt-1ka-7k` share the 1,000 test clips of JSFusion (Yu et al.), each with one sentence that the
list names; `msrvtt-full` is the original split. The 1kA papers have no val subset.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator
from pathlib import Path

from ...pipeline.errors import CamoeError
from ...pipeline.store.schema import TEST, TRAIN, VAL
from .base import Annotations, CaptionSet, Collector, as_text, read_json, read_lines
from .files import VideoFile, VideoItem, by_name

ONE_K_A = {"msrvtt-1ka-9k": "MSRVTT_train.9k.csv", "msrvtt-1ka-7k": "MSRVTT_train.7k.csv"}
FULL = "msrvtt-full"
FULL_LISTS = {TRAIN: "MSRVTT_train.full.csv", VAL: "MSRVTT_val.full.csv", TEST: "MSRVTT_test.full.csv"}
FULL_RANGES = {TRAIN: range(6513), VAL: range(6513, 7010), TEST: range(7010, 10000)}
OFFICIAL, OFFICIAL_TEST = "train_val_videodatainfo.json", "test_videodatainfo.json"
"""As the data set's authors publish it: the full split's train and val, and its test, in two files."""
CAPTIONS = ("MSRVTT_data.json", "MSR_VTT.json", "annotation/MSR_VTT.json", OFFICIAL)
TEST_LIST = "MSRVTT_JSFUSION_test.csv"
PUBLISHED = {
    "msrvtt-1ka-9k": {"train videos": 9000, "test videos": 1000, "test captions": 1000},
    "msrvtt-1ka-7k": {"train videos": 7010, "test videos": 1000, "test captions": 1000},
    FULL: {"train videos": 6513, "val videos": 497, "test videos": 2990},
}


def load_msrvtt(captions: Path, files: list[VideoFile] | None) -> tuple[CaptionSet, list[VideoItem]]:
    """`MSRVTT_data.json` (`sentences` of `video_id, caption`), or the same from the authors, in their two files, or
    `MSR_VTT.json` (`annotations` of `image_id, caption`); beside it `MSRVTT_JSFUSION_test.csv`, train lists and the
    full split's lists where they are there.

    Without the json the 1,000 test sentences are read, without the csv the full split; what lacks is the shortfall.
    """
    annotations = Annotations(captions)
    source, tests = annotations.source(*CAPTIONS), annotations.find(TEST_LIST)
    if not source and not tests:
        raise annotations.lacking(CAPTIONS[0], TEST_LIST)
    sentences = list(_sentences(source)) if source else []
    if source and source.name == OFFICIAL and (rest := annotations.optional(OFFICIAL_TEST)):
        sentences += _sentences(rest)
    chosen = _chosen(tests) if tests else {}
    trains = {protocol: _train_videos(protocol, annotations, sentences, chosen) for protocol in ONE_K_A}
    full = _full_split(annotations)
    collector = Collector(by_name(files))
    collector.missing_files = [name for name in annotations.missing if name in (CAPTIONS[0], TEST_LIST)]
    waiting = {video: _plain(sentence) for video, sentence in chosen.items()}
    for video, sentence in sentences:
        is_test = waiting.get(video) == _plain(sentence)
        if is_test:
            del waiting[video]
        codes = {name: TEST if is_test else TRAIN * (video in train) for name, train in trains.items()}
        collector.add(video, sentence, {**codes, FULL: full.get(video, 0)})
    for video in waiting:
        collector.add(video, chosen[video], {**dict.fromkeys(trains, TEST), FULL: 0})
    return collector.finish(annotations.read, PUBLISHED)


def _sentences(path: Path) -> Iterator[tuple[str, str]]:
    """(video, caption) of both variants of the json, in the order of the file."""
    content = read_json(path)
    try:
        table, owner = ("sentences", "video_id") if "sentences" in content else ("annotations", "image_id")
        for entry in content[table]:
            yield str(entry[owner]), as_text(entry["caption"], f"{path.name}: a caption of {entry[owner]}")
    except (TypeError, KeyError) as error:
        raise CamoeError(
            f"{path.name} has neither sentences of video_id and caption nor annotations of image_id and caption"
        ) from error


def _column(path: Path, *names: str) -> list[tuple[str, ...]]:
    """Columns of one of the published csv lists."""
    rows = csv.DictReader(read_lines(path))
    try:
        return [tuple(row[name].strip() for name in names) for row in rows]
    except (KeyError, AttributeError) as error:
        raise CamoeError(f"{path.name} lacks the column {' or '.join(names)}") from error


def _chosen(path: Path) -> dict[str, str]:
    """The test sentence of each 1kA video."""
    return {row[0]: row[1] for row in _column(path, "video_id", "sentence")}


def _train_videos(
    protocol: str, annotations: Annotations, sentences: list[tuple[str, str]], chosen: dict[str, str]
) -> set[str]:
    """The protocol's list, or its rule: all but 1kA; video0 to video7009."""
    path = annotations.find(ONE_K_A[protocol])
    if path:
        return {video for (video,) in _column(path, "video_id")}
    if protocol == "msrvtt-1ka-7k":
        return {f"video{number}" for number in range(7010)}
    return {video for video, _ in sentences} - set(chosen) if chosen else set()


def _full_split(annotations: Annotations) -> dict[str, int]:
    codes: dict[str, int] = {}
    for code, name in FULL_LISTS.items():
        path = annotations.find(name)
        videos = [video for (video,) in _column(path, "video_id")] if path else map("video{}".format, FULL_RANGES[code])
        codes.update(dict.fromkeys(videos, code))
    return codes


def _plain(sentence: str) -> str:
    return re.sub(r"\s+", " ", sentence).strip().lower()
