"""Several shards as one file, copied block by block; what no longer counts is left out."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import h5py

from ..atomic import atomic_path, fsync
from ..checksum import file_sha256
from .content import captions_sum, tokens_sum
from .guarded_file import GuardedFile
from .reader import FeatureStore
from .rows import gather_rows
from .schema import Removed, no_videos
from .shard import VIDEO_COLUMNS
from .writer import (
    write_attribute,
    write_captions,
    write_column,
    write_failures,
    write_removed,
    write_settings,
    write_table,
    write_tokens,
    write_videos,
)

_BLOCK_BYTES = 16 << 20


def write_single_file(
    parts: Sequence[Path],
    target: Path,
    before_publishing: Callable[[str], None] = lambda digest: None,
    *,
    keep_dropped: bool = False,
) -> str:
    """Write one file with everything in `parts`, videos sorted by id; returns its SHA-256.

    With `keep_dropped` it remembers which videos are to stay out; a file that is a new store does not.
    `before_publishing` is called with the SHA-256 when all is written, just before `target` gets its name.

    Memory holds one block of frames or of word tokens and one text table at a time. Raises `StoreError` when the parts
    do not belong together and `OSError` when the disk refuses; `target` is then as it was.
    """
    store = FeatureStore.open(list(parts))
    with atomic_path(target) as temporary:
        guarded = GuardedFile(temporary)
        try:
            with h5py.File(guarded, "w", libver=("v110", "v110")) as file:
                _write_store(file, store)
                write_removed(file, Removed(dropped=tuple(store.dropped) if keep_dropped else ()))
        finally:
            guarded.close()
        digest = file_sha256(temporary)
        fsync(temporary)
        before_publishing(digest)
    return digest


def _write_store(file: h5py.File, store: FeatureStore) -> None:
    has_tokens = store.has_word_tokens
    kinds = {shard.kind for shard in store.shards}
    write_settings(file, store.settings, kinds.pop() if len(kinds) == 1 else "both", order=0, has_tokens=has_tokens)
    write_failures(file, list(store.failures.values()))
    if store.video_ids:
        _copy_videos(file.create_group("videos"), store)
    elif store.has_videos:
        write_videos(file.create_group("videos"), no_videos(store.settings))
    if store.has_captions:
        captions = store.captions
        write_captions(file, captions, captions_sum(captions))
        file.create_group("texts")
        for name in store.text_names:
            write_table(file, name, store.text_table(*name), captions, store.text_notes.get("/".join(name), {}))
        if has_tokens:
            tokens = store.word_tokens
            write_tokens(file, tokens.sentence, tokens, tokens.width, tokens_sum(captions, tokens))


def _copy_videos(group: h5py.Group, store: FeatureStore) -> None:
    write_attribute(group, "content_sum", store.videos_content_sum)
    places = store.video_places
    paths = [shard.path for shard in store.shards]
    for name, (_, rank) in VIDEO_COLUMNS.items():
        if rank == 1:
            write_column(group, name, store.video_column(name))
            continue
        target = write_column(group, name, gather_rows(paths, name, places[:1]), total=len(places))
        chunk = target.chunks[0]
        step = chunk * max(1, _BLOCK_BYTES * len(places) // (chunk * target.nbytes))
        for start in range(0, len(places), step):
            target[start : start + step] = gather_rows(paths, name, places[start : start + step])
