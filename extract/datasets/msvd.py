"""MSVD: 1,970 short clips with about 41 captions each; the split of Venugopalan et al. (1200 / 100 / 670 videos)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ...pipeline.errors import CamoeError
from ...pipeline.store.schema import SUBSETS
from .base import Annotations, CaptionSet, Collector, read_json, read_text
from .files import VideoFile, VideoItem, by_name
from .safe_pickle import load_plain_pickle

PROTOCOL = "msvd"
PUBLISHED = {
    PROTOCOL: {
        "train videos": 1200,
        "train captions": 48774,
        "val videos": 100,
        "val captions": 4290,
        "test videos": 670,
        "test captions": 27763,
    }
}


def load_msvd(captions: Path, files: list[VideoFile] | None) -> tuple[CaptionSet, list[VideoItem]]:
    """`raw-captions.pkl` or `captions_msvd.json`, beside `train_list.txt`, `val_list.txt`, `test_list.txt`."""
    annotations = Annotations(captions)
    source = annotations.require(annotations.source("raw-captions.pkl", "captions_msvd.json"))
    subset_of: dict[str, int] = {}
    for subset, code in SUBSETS.items():
        listed = read_text(annotations.require(annotations.find(f"{subset}_list.txt"))).split()
        subset_of.update(dict.fromkeys(listed, code))
    collector = Collector(by_name(files))
    for video, sentences in _sentences(source).items():
        for sentence in sentences:
            words = sentence if isinstance(sentence, str) else " ".join(map(str, sentence))
            collector.add(video, words, {PROTOCOL: subset_of.get(video, 0)})
    return collector.finish(annotations.read, PUBLISHED)


def _sentences(path: Path) -> dict[str, list[Any]]:
    """`{video: [sentence, …]}`, a sentence being a string or a list of tokens."""
    content = load_plain_pickle(path) if path.suffix == ".pkl" else read_json(path)
    if not isinstance(content, dict) or not all(isinstance(sentences, list) for sentences in content.values()):
        raise CamoeError(f"{path.name} is not MSVD's {{video: [caption, …]}}")
    return content
