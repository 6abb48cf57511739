"""ActivityNet Captions as paragraph-to-video retrieval: the sentences of a video, joined; `val_1` is the test set."""

from __future__ import annotations

from pathlib import Path

from ...pipeline.errors import CamoeError
from ...pipeline.store.schema import TEST, TRAIN
from .base import Annotations, CaptionSet, Collector, as_text, read_json
from .files import VideoFile, VideoItem, by_name

PROTOCOL = "activitynet"
PUBLISHED = {PROTOCOL: {"train videos": 10009, "test videos": 4917}}
_PREFIX = "v_"


def load_activitynet(captions: Path, files: list[VideoFile] | None) -> tuple[CaptionSet, list[VideoItem]]:
    """`train.json` and `val_1.json`: `{"v_…": {duration, sentences, timestamps}}`; files with or without the `v_`."""
    annotations = Annotations(captions)
    found = {TRAIN: annotations.find("train.json"), TEST: annotations.find("val_1.json")}
    if not any(found.values()):
        raise annotations.lacking("train.json", "val_1.json")
    paragraphs = {code: _paragraphs(path) for code, path in found.items() if path}
    ids = {video for known in paragraphs.values() for video in known}
    collector = Collector(by_name(files, prefix=_PREFIX, ids=ids))
    collector.missing_files = annotations.missing
    for code, known in paragraphs.items():
        for video, paragraph in known.items():
            collector.add(video, paragraph, {PROTOCOL: code})
    return collector.finish(annotations.read, PUBLISHED)


def _paragraphs(path: Path) -> dict[str, str]:
    """The paragraph of each video, by its id without `v_`."""
    try:
        return {
            video.removeprefix(_PREFIX): " ".join(
                as_text(sentence, f"{path.name}: a sentence of {video}").strip() for sentence in entry["sentences"]
            )
            for video, entry in read_json(path).items()
        }
    except (AttributeError, TypeError, KeyError) as error:
        raise CamoeError(f"{path.name} is not ActivityNet's {{video: {{sentences, …}}}}") from error
