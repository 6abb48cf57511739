"""DiDeMo as paragraph-to-video retrieval: the descriptions of a video, joined, are its one caption."""

from __future__ import annotations

from pathlib import Path

from ...pipeline.errors import CamoeError
from ...pipeline.store.schema import SUBSETS
from .base import Annotations, CaptionSet, Collector, read_json
from .files import VideoFile, VideoItem, by_name

PROTOCOL = "didemo"
PUBLISHED = {PROTOCOL: {"train videos": 8392, "val videos": 1065, "test videos": 1004}}
ANNOTATED_S = (0.0, 30.0)
"""Annotators saw the first 30 seconds of longer videos."""


def load_didemo(captions: Path, files: list[VideoFile] | None, seed: int) -> tuple[CaptionSet, list[VideoItem]]:
    """`train_data.json`, `val_data.json`, `test_data.json`: lists of `{video, description, …}`.

    Their ids end in the original suffix (`.mov`, `.3gp`, or a bare dot), which the files may or may not have.
    """
    annotations = Annotations(captions)
    found = {code: annotations.find(f"{subset}_data.json") for subset, code in SUBSETS.items()}
    if not any(found.values()):
        raise CamoeError(f"--captions: no train_data.json, val_data.json or test_data.json in {annotations.folder}")
    collector = Collector(by_name(files))
    collector.missing_files = annotations.missing
    for code, path in found.items():
        for video, paragraph in _paragraphs(path).items() if path else ():
            collector.add(video, paragraph, {PROTOCOL: code})
    return collector.finish(annotations.read, PUBLISHED, window=ANNOTATED_S)


def _paragraphs(path: Path) -> dict[str, str]:
    """The descriptions of each video, in the order of the file."""
    sentences: dict[str, list[str]] = {}
    try:
        for entry in read_json(path):
            sentences.setdefault(str(entry["video"]), []).append(str(entry["description"]).strip())
    except (TypeError, KeyError) as error:
        raise CamoeError(f"{path.name} is not DiDeMo's list of {{video, description}}") from error
    return {video: " ".join(filter(None, texts)) for video, texts in sentences.items()}
