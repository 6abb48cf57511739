"""LSMDC (2016): clips of films with their audio descriptions; train, val and the 1,000 clips of the retrieval task."""

from __future__ import annotations

from pathlib import Path

from ...pipeline.store.schema import TEST, TRAIN, VAL
from .base import Annotations, CaptionSet, Collector, text_lines
from .files import VideoFile, VideoItem, by_name

PROTOCOL = "lsmdc"
FILES = {
    TRAIN: "LSMDC16_annos_training.csv",
    VAL: "LSMDC16_annos_val.csv",
    TEST: "LSMDC16_challenge_1000_publictect.csv",
}
PUBLISHED = {
    PROTOCOL: {"train captions": 101079, "val captions": 7408, "test videos": 1000, "test captions": 1000},
}


def load_lsmdc(captions: Path, files: list[VideoFile] | None) -> tuple[CaptionSet, list[VideoItem]]:
    """The three lists under their published names: six columns separated by tabs, no header.

    The clips lie in one folder per film, cut already: the times of the lists are the film's and are not used.
    """
    annotations = Annotations(captions)
    found = {code: annotations.find(name) for code, name in FILES.items()}
    if not any(found.values()):
        raise annotations.lacking(*FILES.values())
    collector = Collector(by_name(files))
    collector.missing_files = annotations.missing
    for code, path in found.items():
        for line in text_lines(path) if path else ():
            cells = line.split("\t")
            if len(cells) == 6:
                collector.add(cells[0], cells[5], {PROTOCOL: code})
            elif line.strip():
                collector.skipped["not six columns"] += 1
    return collector.finish(annotations.read, PUBLISHED)
