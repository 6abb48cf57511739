"""What a search gives: plain records."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Hit:
    """A video that was found, `rank` from 1.

    `score` is in logit units (`scale · cos`, as everywhere). `moment_s` is the time of the frame that fits best, in
    seconds of the video, none where the store has no times. `path` is the file, where the videos' folder is known; else
    what the store recorded, relative to that folder.
    """

    rank: int
    id: str
    score: float
    moment_s: float | None
    path: str


@dataclass(frozen=True)
class CaptionHit:
    """A caption that was found for a video, `rank` from 1; `video_id` is the video that it belongs to."""

    rank: int
    id: str
    video_id: str
    score: float
    text: str


@dataclass(frozen=True)
class Reading:
    """A query as one stream reads it: its words, and which of them are `kept`.

    `sentence` is written as the store writes its own (`_ dog _ _ ball`). `fell_back`: no word belongs to the stream, so
    that the whole query is read.
    """

    stream: str
    strategy: str
    sentence: str
    words: tuple[str, ...]
    kept: tuple[bool, ...]
    fell_back: bool
