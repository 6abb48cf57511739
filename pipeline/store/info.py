"""What a store holds, as lines of text."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from ..wording import counted
from .notes import format_notes, is_notes
from .reader import FeatureStore
from .safe_open import decode_strings
from .schema import FAILED, SUBSETS, StoreSettings
from .shortfall import describe_shortfall
from .tokens import StoredTokens

_BAR = 30


def describe(store: FeatureStore) -> list[str]:
    """Settings, counts, frames a video, protocols, texts and the content hash."""
    size = sum(shard.path.stat().st_size for shard in store.shards)
    lines = [f"shards    {len(store.shards)}, {size_text(size)}"]
    lines += _settings(store.settings)
    lines += _videos(store)
    lines += _captions(store)
    lines.append(f"content   {store.content_hash}")
    if store.text_names:
        lines += ["", *_texts(store)]
    return lines


def describe_tokens(tokens: StoredTokens) -> str:
    """How many word tokens there are, of how many distinct captions, and what they take."""
    count = int(tokens.offsets[-1])
    return (
        f"{count:,} tokens of {len(tokens.sentence):,} distinct captions, at most {tokens.longest} each, "
        f"{size_text(2 * tokens.width * count)}"
    )


def size_text(size: int) -> str:
    """A number of bytes for people."""
    if size >= 1_000_000_000:
        return f"{size / 1e9:,.1f} GB"
    return f"{size / 1e6:,.1f} MB" if size >= 100_000 else f"{size / 1e3:,.1f} kB"


def _settings(settings: StoreSettings) -> Iterator[str]:
    bias = f" and bias {settings.clip_logit_bias:g}" if settings.clip_logit_bias is not None else ""
    yield (
        f"model     {settings.clip_model}, {settings.embed_dim} wide, logit scale {settings.clip_logit_scale:g}{bias}, "
        f"{settings.precision}, SHA-256 {settings.clip_sha256[:16]}"
    )
    if settings.max_frames is not None:
        rate = f"{settings.fps:g} frames/s" if settings.fps is not None else "unknown rate"
        yield f"sampling  {settings.sampling}, {rate}, at most {settings.max_frames}"
    if settings.streams:
        yield "streams   " + "; ".join(f"{name}={tags}" for name, tags in settings.streams.items())
    if settings.strategies:
        yield f"strategy  {', '.join(settings.strategies)}; tagger {settings.tagger or 'none'}"
    if settings.versions:
        yield "versions  " + ", ".join(f"{name} {number}" for name, number in settings.versions.items())


def _videos(store: FeatureStore) -> Iterator[str]:
    failed = [failure for failure in store.failures.values() if failure.stage == FAILED]
    if not store.video_ids:
        yield f"videos    0, {len(failed)} failed" if failed else "videos    0"
        return
    names, numbers = np.unique(store.video_column("status"), return_counts=True)
    status = dict(zip(decode_strings(names), numbers.tolist(), strict=True))
    counts = ", ".join([*(f"{status[name]} {name}" for name in sorted(status, reverse=True)), f"{len(failed)} failed"])
    yield f"videos    {len(store.video_ids)} ({counts}), {counted(int(store.frame_count.sum()), 'frame')}"
    if store.dropped:
        yield f"dropped   {counted(len(store.dropped), 'video')} (first: {store.dropped[0]})"
    frames, videos = np.unique(store.frame_count, return_counts=True)
    for count, number in zip(frames.tolist(), videos.tolist(), strict=True):
        bar = "#" * max(1, round(_BAR * number / int(videos.max())))
        yield f"  {count:>4} {_noun(count, 'frame')}  {number:>7} {_noun(number, 'video')}  {bar}"


def _noun(number: int, noun: str) -> str:
    """`video ` or `videos`, of one width, for columns."""
    return f"{noun}s" if number != 1 else f"{noun} "


def _captions(store: FeatureStore) -> Iterator[str]:
    if not store.has_captions:
        return
    owners = store.caption_video_ids
    used = np.unique(owners.codes)
    without = int((store.video_ids.find(owners.distinct.take(used)) < 0).sum())
    lacking = f" ({without} of them without frames here)" if without else ""
    yield f"captions  {len(owners)} of {counted(len(used), 'video')}{lacking}"
    for name in sorted(store.protocols):
        codes = store.protocols[name]
        parts = [f"{int((codes == code).sum())} {subset}" for subset, code in SUBSETS.items()]
        unused = int((codes == 0).sum())
        parts += [f"{unused} unused"] if unused else []
        yield f"protocol  {name}: {', '.join(parts)} captions"
        yield from (f"  incomplete: {part}" for part in describe_shortfall(store.shortfall.get(name, {})))
    if store.has_word_tokens:
        yield f"words     {describe_tokens(store.word_tokens)}"


def _texts(store: FeatureStore) -> list[str]:
    notes = {name: note for name, note in store.text_notes.items() if note}
    bare = ["/".join(name) for name in store.text_names if "/".join(name) not in notes]
    lines = [*format_notes(notes), *(f"{name}  (made elsewhere: no counts)" for name in bare)]
    if any(note["captions"] > len(store.caption_ids) for note in notes.values() if is_notes(note)):
        lines.append("(counts include captions that have been replaced or dropped since)")
    return lines
