"""Why a video could not be read, or not whole, in words for its owner."""

from __future__ import annotations

import signal

from .ffmpeg_log import Pass


class FrameDecodeError(Exception):
    """A video gave no frame; `reason` is a sentence for its owner."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


NOT_A_VIDEO = "it is not a video container (its content is of another type)"
_MEMORY = "it needs more memory than one video may take"
_MEANINGS = (
    ("moov atom not found", "its index (the moov atom) is missing: cut off, still being written, or no video at all"),
    ("matches no streams", "it has no video stream"),
    ("not in whitelist", NOT_A_VIDEO),
    ("not on whitelist", NOT_A_VIDEO),
    ("Invalid data found when processing input", "ffmpeg finds no readable video in it"),
    ("exceeds specified max pixel count", "its frames are too large (over 33 million pixels)"),
    ("Cannot allocate memory", _MEMORY),
)
_TOLD_TO_END = 255
"""ffmpeg's exit status after a signal that it heeds, the one for too much processor time among them."""


def explain(result: Pass, timeout_s: float) -> str:
    """Why a pass gave no frames, or fewer than it should."""
    first = result.errors[0][:160] if result.errors else ""
    said = " | ".join(result.errors)
    if result.timed_out:
        reason = f"took longer than {timeout_s:g} s and was stopped"
    elif result.returncode < 0:
        reason = f"ffmpeg was {_killed(-result.returncode)}" + (f" ({first})" if first else "")
    elif result.frames and "Cannot allocate memory" in said:
        reason = _MEMORY
    elif result.frames and first:
        reason = first
    elif meaning := next((meaning for pattern, meaning in _MEANINGS if pattern in said), None):
        reason = meaning
    elif first:
        reason = f"cannot be decoded: {first}"
    elif result.returncode == _TOLD_TO_END:
        reason = "ffmpeg was told to end by a signal, or took too much processor time"
    elif result.returncode:
        reason = f"ffmpeg ended with status {result.returncode} and did not say why"
    else:
        reason = "no frame could be decoded"
    return f"read in part: {reason}" if result.frames else reason


def _killed(number: int) -> str:
    try:
        name = signal.Signals(number).name
    except ValueError:
        name = "unknown"
    hint = ", perhaps for want of memory" if number == signal.SIGKILL else ""
    return f"killed by signal {number} ({name}){hint}"
