"""What ffmpeg says of a video, and how much of it is to be believed."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import IO

import numpy as np

_MAX_ERRORS = 20

_COLOUR = re.compile(r"\x1b\[[\d;]*m")
_COLOURED_ERROR = re.compile(r"\x1b\[[\d;]*m\[(?:error|fatal|panic)\] (.*)")
_PLAIN_ERROR = re.compile(r"(?:\[[^\]]+ @ [^\]]+\] )*\[(?:error|fatal|panic)\] (.*)")
_FORMAT = re.compile(r"\[info\] Input #0, ([\w,]+), from ")
_DURATION = re.compile(r"\[info\]   Duration: (?:(\d+):(\d\d):(\d\d(?:\.\d+)?)|N/A)")


@dataclass
class Pass:
    """What one child said and sent: RGB frames `(R, R, 3)` uint8 with their times in seconds.

    `format` and `duration_s` are the header's (`None` where it does not say), `time_base_s` the stream's; `errors` are
    the first lines that ffmpeg logged as errors; `stopped` says that we had seen enough, `timed_out` that it took too
    long; `returncode` is the child's, negative for a signal.
    """

    frames: list[np.ndarray] = field(default_factory=list)
    times_s: list[float] = field(default_factory=list)
    format: str = ""
    duration_s: float | None = None
    time_base_s: float = 0.0
    errors: list[str] = field(default_factory=list)
    returncode: int = 0
    stopped: bool = False
    timed_out: bool = False

    @property
    def is_sound(self) -> bool:
        """Whether ffmpeg came to the end, or to where we stopped it, without a complaint."""
        return not self.errors and not self.timed_out and (self.stopped or self.returncode == 0)

    def add_trouble(self, other: Pass) -> None:
        """Take over what was wrong with another pass over the same file."""
        self.errors = (self.errors + other.errors)[:_MAX_ERRORS]
        self.timed_out |= other.timed_out
        if not other.stopped:
            self.returncode = self.returncode or other.returncode


class FfmpegLog:
    """ffmpeg's log, of which only that is believed which no file can have had printed:

    - errors whose level is coloured, for ffmpeg replaces the colours' control characters in all other text (a build
      without colours has its errors known by the beginning of the line);
    - the time base in a line of the filter that bears our random `mark`;
    - format and duration, if each was said exactly once before that line: ffmpeg surely says them.
    """

    def __init__(self, result: Pass, mark: str, on_header: Callable[[], None] = lambda: None) -> None:
        self.result, self.on_header = result, on_header
        self._time_base = re.compile(rf"\[showinfo@{mark} @ [^\]]+\] .*config in time_base: (\d+)/(\d+)")
        self._formats: list[str] = []
        self._durations: list[float | None] = []
        self._plain_errors: list[str] = []
        self._has_colours = False
        self._in_header = True

    def read(self, stream: IO[bytes]) -> None:
        """Take in the whole log."""
        while line := stream.readline(1 << 16).decode(errors="replace"):
            self._take(line.rstrip("\n"))
        if not self._has_colours:
            self.result.errors += self._plain_errors
        self._end_header()

    def _take(self, line: str) -> None:
        plain = _COLOUR.sub("", line)
        self._has_colours |= plain != line
        if error := _COLOURED_ERROR.search(line):
            _add_error(self.result.errors, _COLOUR.sub("", error[1]))
        elif error := _PLAIN_ERROR.match(plain):
            _add_error(self._plain_errors, error[1])
        elif self._in_header:
            self._take_header(plain)

    def _take_header(self, line: str) -> None:
        if found := _FORMAT.match(line):
            self._formats.append(found[1])
        elif found := _DURATION.match(line):
            parts = found.groups()
            self._durations.append(None if parts[0] is None else _seconds(*parts))
        elif found := self._time_base.search(line):
            self.result.time_base_s = int(found[1]) / max(1, int(found[2]))
            self._end_header()
            self.on_header()

    def _end_header(self) -> None:
        if self._in_header:
            self._in_header = False
            self.result.format = self._formats[0] if len(self._formats) == 1 else ""
            self.result.duration_s = self._durations[0] if len(self._durations) == 1 else None


def _add_error(errors: list[str], message: str) -> None:
    if len(errors) < _MAX_ERRORS:
        errors.append(message.strip())


def _seconds(hours: str, minutes: str, seconds: str) -> float:
    return int(hours) * 3600 + int(minutes) * 60 + float(seconds)
