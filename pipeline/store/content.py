"""Content sums: what a store holds, told apart from how it is cut into shards.

Each row (a video's frames, a caption, a caption's embedding) is hashed by SHA-256 and the digests are added modulo
2^256, so the sum depends neither on the order of rows nor on the shards they lie in.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from typing import Protocol

import numpy as np

from .safe_open import TEXT_ERRORS
from .schema import Captions, TextName, TextTable, Videos

_MODULUS = 1 << 256


def add_sums(sums: Iterable[str]) -> str:
    """The sum of several content sums (64 hexadecimal digits each)."""
    return f"{sum(int(value, 16) for value in sums) % _MODULUS:064x}"


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", TEXT_ERRORS)


def _sum(rows: Iterable[bytes]) -> str:
    total = 0
    for row in rows:
        total += int.from_bytes(hashlib.sha256(row).digest(), "big")
    return f"{total % _MODULUS:064x}"


def videos_sum(videos: Videos) -> str:
    """Sum over videos of (id, status, valid frames, their times)."""
    return _sum(
        b"\0".join(
            [
                b"video",
                _bytes(videos.id[i]),
                _bytes(videos.status[i]),
                np.ascontiguousarray(videos.frames[i, :count], dtype="<f2").tobytes(),
                np.ascontiguousarray(videos.frame_time_s[i, :count], dtype="<f4").tobytes(),
            ]
        )
        for i, count in enumerate(videos.frame_count.tolist())
    )


def captions_sum(captions: Captions) -> str:
    """Sum over captions of (id, video, text, subset in each protocol)."""
    names = sorted(captions.protocols)
    codes = (
        np.stack([captions.protocols[name] for name in names], axis=1)
        if names
        else np.zeros((len(captions.id), 0), np.uint8)
    )
    head = _bytes("caption\0" + "\0".join(names))
    return _sum(
        b"\0".join([head, *map(_bytes, parts), code.tobytes()])
        for *parts, code in zip(captions.id, captions.video_id, captions.text, codes, strict=True)
    )


class Tokens(Protocol):
    """Word tokens, held or read in pieces."""

    @property
    def offsets(self) -> np.ndarray: ...

    @property
    def row(self) -> np.ndarray: ...

    def blocks(self) -> Iterator[np.ndarray]: ...


def tokens_sum(captions: Captions, tokens: Tokens) -> str:
    """Sum over captions of (id, video, SHA-256 of its sentence's word tokens)."""
    digests = list(_digests(tokens))
    return _sum(
        b"\0".join([b"tokens", _bytes(caption_id), _bytes(video_id), digests[row]])
        for caption_id, video_id, row in zip(captions.id, captions.video_id, tokens.row.tolist(), strict=True)
    )


def _digests(tokens: Tokens) -> Iterator[bytes]:
    """Of each sentence's tokens; a sentence lies in one block."""
    ends = iter(tokens.offsets[1:].tolist())
    start, before = 0, 0
    for block in tokens.blocks():
        values = np.ascontiguousarray(block, dtype="<f2")
        while start < before + len(values):
            end = next(ends)
            yield hashlib.sha256(values[start - before : end - before].tobytes()).digest()
            start = end
        before += len(values)


def table_sum(captions: Captions, name: TextName, table: TextTable) -> str:
    """Sum over captions of (id, video, strategy, stream, embedding)."""
    head = _bytes("text\0" + "\0".join(name))
    embeddings = [row.tobytes() for row in np.ascontiguousarray(table.embedding, dtype="<f2")]
    return _sum(
        b"\0".join([head, _bytes(caption_id), _bytes(video_id), embeddings[row]])
        for caption_id, video_id, row in zip(captions.id, captions.video_id, table.row.tolist(), strict=True)
    )
