"""DiDeMo as paragraph-to-video retrieval: the descriptions of a video, joined, are its one caption."""

from __future__ import annotations

from pathlib import Path

from ...pipeline.errors import CamoeError
from ...pipeline.store.schema import SUBSETS, TRAIN, UNUSED
from .base import Annotations, CaptionSet, Collector, as_text, read_json, text_lines
from .files import VideoFile, VideoItem, by_name

PROTOCOL = "didemo"
PUBLISHED = {"train videos": 8395, "val videos": 1065, "test videos": 1004}
WITH_LISTS = {"train videos": 8392}
"""CLIP4Clip's lists, `train_list.txt` and so on, leave three videos of train out."""
WINDOW_S = (0.0, 32.0)
"""Annotators saw the first 30 seconds of longer videos; CLIP4Clip reads the seconds 0 to 31, the last one whole."""


def load_didemo(captions: Path, files: list[VideoFile] | None) -> tuple[CaptionSet, list[VideoItem]]:
    """`train_data.json`, `val_data.json`, `test_data.json`: lists of `{video, description, …}`.

    Their ids end in the original suffix (`.mov`, `.3gp`, or a bare dot), which the files may or may not have. Where
    CLIP4Clip's lists of ids (`train_list.txt`, …) lie beside them, a subset is what its list names.
    """
    annotations = Annotations(captions)
    found = {code: annotations.find(f"{subset}_data.json") for subset, code in SUBSETS.items()}
    if not any(found.values()):
        raise annotations.lacking(*(f"{subset}_data.json" for subset in SUBSETS))
    lists = {code: _list(annotations.optional(f"{subset}_list.txt")) for subset, code in SUBSETS.items()}
    collector = Collector(by_name(files))
    collector.missing_files = annotations.missing
    for code, path in found.items():
        for video, paragraph in _paragraphs(path).items() if path else ():
            chosen = lists[code]
            listed = chosen is None or video in chosen
            collector.add(video, paragraph, {PROTOCOL: code if listed else UNUSED})
    published = PUBLISHED | (WITH_LISTS if lists[TRAIN] is not None else {})
    return collector.finish(annotations.read, {PROTOCOL: published}, window=WINDOW_S)


def _list(path: Path | None) -> set[str] | None:
    """The ids of one of CLIP4Clip's lists; `None` where there is no list."""
    return {line.strip() for line in text_lines(path)} if path else None


def _paragraphs(path: Path) -> dict[str, str]:
    """The descriptions of each video, in the order of the file."""
    sentences: dict[str, list[str]] = {}
    try:
        for entry in read_json(path):
            sentences.setdefault(str(entry["video"]), []).append(
                as_text(entry["description"], f"{path.name}: a description of {entry['video']}").strip()
            )
    except (TypeError, KeyError) as error:
        raise CamoeError(f"{path.name} is not DiDeMo's list of {{video, description}}") from error
    return {video: " ".join(filter(None, texts)) for video, texts in sentences.items()}
