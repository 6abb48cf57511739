"""The cues of a subtitle file: read, freed of what is not said, and joined to captions with their times."""

from __future__ import annotations

import html
import io
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from ..pipeline.extras import needs_extra

PAUSE_S = 2.0
"""A longer silence ends a caption."""
_ROLLED_S = 0.5
"""Within this time after a cue, its last lines at the head of the next are the same ones, rolled up."""

_TIMES = re.compile(r"\s*\d+:\d+:\d+[,.]\d+\s*-->")
_OVERRIDES = re.compile(r"\{\\[^}]*\}")
_NOTES = re.compile(r"\[[^\[\]]*\]|\([^()]*\)|[♩♪♫♬]+")
"""`[music]`, `(laughs)`: what is heard, or who speaks."""
_MARKS = re.compile(r"^(?:[-–—]+|>+|:)\s*")
_SPEAKER = re.compile(r"^([^\W\d_][^:]{0,30}):\s+")
_SENTENCE_END = re.compile(r"[.!?…。！？][\"'”’»)\]]*$")


@dataclass(frozen=True)
class Cue:
    """What is said from `start_s` to `end_s`, in the lines that it is shown in."""

    start_s: float
    end_s: float
    lines: tuple[str, ...]

    @property
    def text(self) -> str:
        return " ".join(self.lines)

    @property
    def seconds(self) -> float:
        return self.end_s - self.start_s


def parse_cues(text: str) -> list[Cue]:
    """The cues of a SubRip or WebVTT text as they stand there, by their times; none where there is none."""
    with needs_extra("subtitles", "reading subtitles"):
        from webvtt import WebVTT
        from webvtt.errors import MalformedCaptionError, MalformedFileError

    text = text.lstrip("\ufeff \t\r\n")
    format = "vtt" if text.startswith("WEBVTT") else "srt"
    try:
        found = WebVTT.from_buffer(io.StringIO(text if format == "vtt" else _numbered(text)), format=format)
    except (MalformedFileError, MalformedCaptionError):
        return []
    cues = [Cue(_seconds(cue.start), _seconds(cue.end), tuple(cue.text.split("\n"))) for cue in found.captions]
    return sorted(cues, key=lambda cue: (cue.start_s, cue.end_s))


def _numbered(text: str) -> str:
    """SubRip as the library wants it: above the times of a cue a bare number, which some files leave out."""
    lines: list[str] = []
    for line in text.splitlines():
        if _TIMES.match(line) and not (lines and lines[-1].isdigit()):
            lines.append("0")
        lines.append(line.strip())
    return "\n".join(lines)


def check_extra() -> None:
    """Raise `CamoeError` where subtitles cannot be read, before any is looked for."""
    parse_cues("")


def said(cue: Cue) -> Cue:
    """The cue without formatting, notes on sounds, and marks of who speaks; without lines where nothing is left."""
    text = _NOTES.sub(" ", _OVERRIDES.sub("", html.unescape("\n".join(cue.lines))))
    lines = (_without_speaker(" ".join(line.split())) for line in text.split("\n"))
    return Cue(cue.start_s, cue.end_s, tuple(line for line in lines if any(map(str.isalnum, line))))


def rolled(cues: Iterable[Cue]) -> Iterator[Cue]:
    """The cues without lines that the one before showed already, as live captions roll up."""
    shown: tuple[str, ...] = ()
    until = -1.0
    for cue in cues:
        lines = cue.lines
        if cue.start_s - until <= _ROLLED_S:
            again = next(n for n in range(min(len(shown), len(lines)), -1, -1) if shown[len(shown) - n :] == lines[:n])
            lines = lines[again:]
        shown, until = cue.lines, max(until, cue.end_s)
        if lines:
            yield Cue(cue.start_s, cue.end_s, lines)


def joined(cues: Iterable[Cue], seconds: float) -> Iterator[Cue]:
    """Neighbours as one, up to so many seconds; a pause, or a sentence that ends in the second half, ends it, too."""
    current: Cue | None = None
    for cue in cues:
        if current is not None and _goes_on(current, cue, seconds):
            current = Cue(current.start_s, max(current.end_s, cue.end_s), (*current.lines, *cue.lines))
            continue
        if current is not None:
            yield current
        current = cue
    if current is not None:
        yield current


def _goes_on(current: Cue, cue: Cue, seconds: float) -> bool:
    if max(current.end_s, cue.end_s) - current.start_s > seconds or cue.start_s - current.end_s > PAUSE_S:
        return False
    return current.seconds < seconds / 2 or _SENTENCE_END.search(current.text) is None


def _without_speaker(line: str) -> str:
    """`- JOHN: Hello` -> `Hello`."""
    line = _MARKS.sub("", line)
    found = _SPEAKER.match(line)
    return line[found.end() :] if found and found[1].isupper() else line


def _seconds(time: str) -> float:
    """Of `01:02:03.500`."""
    hours, minutes, seconds = time.split(":")
    return int(hours) * 3600 + int(minutes) * 60 + float(seconds)
