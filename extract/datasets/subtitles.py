"""Subtitles (`.srt`, `.vtt`) as captions: what is said in a video, about the window in which it is said."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path

from ...pipeline.captions.names import FileIndex, plain_name
from ...pipeline.captions.own import collect_own
from ...pipeline.captions.rows import Row, Unusable
from ...pipeline.errors import CamoeError
from ...pipeline.wording import counted
from ..cues import check_extra, joined, parse_cues, rolled, said
from ..files import walk_files
from .base import CaptionSet, read_text
from .files import VideoFile, VideoItem

NAME = "subtitles"
SUFFIXES = (".srt", ".vtt")
SECONDS = 10.0
MAX_BYTES = 16 << 20
"""Some hundred thousand cues; a film has two thousand."""

_LANGUAGE = re.compile(r"\.(?:[a-z]{2,3}(?:[-_][a-z0-9]{2,8})*|forced|default)$", re.IGNORECASE)
"""What may stand between a video's name and the suffix: `clip.en.srt`, `clip.pt-BR.vtt`, `clip.sdh.srt`."""


def load_subtitles(
    path: Path,
    files: list[VideoFile] | None,
    *,
    seconds: float = SECONDS,
    seed: int = 0,
    known_split: Mapping[str, int] | None = None,
) -> tuple[CaptionSet, list[VideoItem]]:
    """The subtitles below a folder, or one file, as captions of windows of their videos.

    `clip.srt`, `clip.en.vtt` and `clip.mp4.srt` are about the video `clip`. Neighbouring cues are joined up to
    `seconds`. Raises `CamoeError` where there are no subtitles, where a video has two, or where one is not UTF-8 text.
    """
    check_extra()
    root = path if path.is_dir() else path.parent
    found = [path] if path.is_file() else sorted(walk_files(path, _is_subtitle))
    if not found:
        raise CamoeError(f"--captions {path} holds no subtitles (looked for {', '.join(SUFFIXES)})")
    texts = _read_all(found)
    rows = _rows(_by_video(found, root, files), texts, root, seconds)
    return collect_own(rows, found, files, seed=seed, known_split=known_split, root=root)


def _is_subtitle(name: str) -> bool:
    return Path(name).suffix.lower() in SUFFIXES


def _read_all(paths: list[Path]) -> dict[Path, str]:
    """The texts; raises `CamoeError` for the first that is none, saying how many more there are."""
    texts, refused = {}, []
    for path in paths:
        try:
            if path.stat().st_size > MAX_BYTES:
                raise CamoeError(f"{path} is above {MAX_BYTES >> 20} MB, which no subtitles are; take it away")
            texts[path] = read_text(path)
        except CamoeError as error:
            refused.append(str(error))
    if refused:
        more = f" ({counted(len(refused) - 1, 'more file')} cannot be read either)" if len(refused) > 1 else ""
        raise CamoeError(refused[0] + more)
    return texts


def _by_video(paths: list[Path], root: Path, files: list[VideoFile] | None) -> dict[str, Path]:
    """Each subtitle file by the video that it is about; raises `CamoeError` where two are about one."""
    index = FileIndex(files) if files is not None else None
    found: dict[str, Path] = {}
    for path in paths:
        video = _video_of(path.relative_to(root), index)
        if video in found:
            raise CamoeError(
                f"{found[video]} and {path} are both subtitles of {video}; take one away, or give --captions a folder "
                "with those of one language"
            )
        found[video] = path
    return found


def _video_of(path: Path, index: FileIndex | None) -> str:
    """The id of the video that a subtitle file is about, or what its name says where there is no such video."""
    whole = path.with_suffix("").as_posix()
    plain = plain_name(whole)
    names = [whole, _LANGUAGE.sub("", whole)]
    if index is None:
        return plain_name(names[1])
    file = next((file for name in names if (file := index.match(name)) is not None), None)
    return file.id if file is not None else plain


def _rows(
    videos: Mapping[str, Path], texts: Mapping[Path, str], root: Path, seconds: float
) -> Iterator[Row | Unusable]:
    for video, path in sorted(videos.items()):
        name = path.relative_to(root).as_posix()
        cues = parse_cues(texts[path])
        if not cues:
            yield Unusable("subtitles without a cue", name)
        heard = []
        for cue in cues:
            spoken = said(cue)
            if not cue.start_s < cue.end_s:
                yield Unusable("start and end are no window", f"{name}: {cue.start_s:g} to {cue.end_s:g}")
            elif not spoken.lines:
                yield Unusable("nothing is said in the cue", f"{name} at {cue.start_s:g} s")
            else:
                heard.append(spoken)
        for cue in joined(rolled(heard), seconds):
            yield Row(f"{name} at {cue.start_s:g} s", video, cue.text, cue.start_s, cue.end_s, 0, None)
