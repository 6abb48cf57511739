"""Files for other tools: a table of every query's rank, and TREC run and qrels files."""

from __future__ import annotations

from collections.abc import Iterator
from glob import escape
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote

import numpy as np

from ..pipeline.atomic import atomic_path, write_atomic
from ..pipeline.errors import CamoeError
from .names import DIRECTIONS
from .ranked import Ranked
from .result import Evaluation

if TYPE_CHECKING:
    import pandas as pd


KINDS = {
    "ranks": ("ranks.parquet",),
    "trec": tuple(f"{direction}.{end}" for direction in DIRECTIONS for end in ("qrels", "*.run")),
}
"""What `--ranks` and `--trec` write."""


def check_exports(ranked: Ranked, *, trec: int | None, stress: bool) -> None:
    """Raise `CamoeError` where something was asked that needs the whole matrix, which was too large to hold."""
    for name, asked in (("trec", trec), ("stress", stress)):
        if asked and ranked.scored is None:
            raise CamoeError(f"--{name} needs the whole matrix of scores; raise --max-matrix-gb, or leave it out")


def write_exports(evaluation: Evaluation, ranked: Ranked, *, ranks: bool, trec: int | None) -> list[str]:
    """Write what was asked beside the evaluation's JSON; returns what to tell of an earlier evaluation's files.

    Files of a kind that is written anew replace the earlier ones of that kind, all of them; those of another kind stay.
    """
    folder, stem = evaluation.path.parent, evaluation.stem
    earlier = {kind: _exported(folder, stem, kind) for kind in KINDS}
    if ranks or trec:
        folder.mkdir(exist_ok=True)
    written: set[Path] = set()
    if ranks:
        with atomic_path(folder / f"{stem}.ranks.parquet") as path:
            rank_table(ranked).to_parquet(path, index=False)
        written.add(folder / f"{stem}.ranks.parquet")
    if trec:
        written |= write_trec(folder, stem, ranked, trec)
    asked = {"ranks": ranks, "trec": bool(trec)}
    stale = [path for kind in KINDS if asked[kind] for path in earlier[kind] if path not in written]
    for path in stale:
        path.unlink()
    kept = [path for kind in KINDS if not asked[kind] for path in earlier[kind]]
    told = [f"taken away, as they were of an earlier evaluation: {_names(stale)}"] if stale else []
    return told + ([f"left as they are, of an earlier evaluation: {_names(kept)}"] if kept else [])


def _exported(folder: Path, stem: str, kind: str) -> list[Path]:
    return sorted(path for end in KINDS[kind] for path in folder.glob(f"{escape(stem)}.{end}"))


def _names(paths: list[Path]) -> str:
    return ", ".join(path.name for path in paths)


def rank_table(ranked: Ranked) -> pd.DataFrame:
    """One row per query and re-ranking: `rerank`, `direction`, `query` (a caption or video id), `video`, `rank`."""
    import pandas as pd  # slow to import, and seldom needed

    captions, videos = ranked.queries.caption_ids, ranked.queries.video_ids
    own_video = [videos[column] for column in ranked.queries.video_of_caption]
    parts = []
    for name, ranks in ranked.ranks.items():
        for direction, queries, own in (("t2v", captions, own_video), ("v2t", videos, videos)):
            columns = {"rerank": name, "direction": direction, "query": queries, "video": own}
            parts.append(pd.DataFrame(columns | {"rank": ranks[direction]}))
    return pd.concat(parts, ignore_index=True)


def write_trec(folder: Path, stem: str, ranked: Ranked, depth: int) -> set[Path]:
    """Write `<stem>.<direction>.qrels`, and `….<direction>.<rerank>.run` with each query's `depth` best candidates.

    Returns the files.
    White space and other characters that the format cannot hold are written as in a URL (`a b` is `a%20b`). Scores are
    written exactly; tools break ties their own way. For `v2t` all of a video's captions are relevant.
    """
    assert ranked.scored is not None
    captions, videos, written = ranked.queries.caption_ids, ranked.queries.video_ids, set()
    names = {"t2v": (quoted(captions), quoted(videos)), "v2t": (quoted(videos), quoted(captions))}
    own = [names["t2v"][1][column] for column in ranked.queries.video_of_caption]
    pairs = list(zip(names["t2v"][0], own, strict=True))
    for direction in DIRECTIONS:
        relevant = pairs if direction == "t2v" else [(video, caption) for caption, video in pairs]
        lines = "".join(f"{query} 0 {candidate} 1\n" for query, candidate in relevant)
        write_atomic(folder / f"{stem}.{direction}.qrels", lines)
        written.add(folder / f"{stem}.{direction}.qrels")
        for name in ranked.ranks:
            scores = ranked.scored.reranked(name, direction)
            by_query = scores if direction == "t2v" else scores.T
            final = folder / f"{stem}.{direction}.{name}.run"
            with atomic_path(final) as path, open(path, "w") as stream:
                stream.writelines(_run_lines(by_query, *names[direction], depth, f"camoe-{name}"))
            written.add(final)
    return written


def _run_lines(scores: np.ndarray, queries: list[str], candidates: list[str], depth: int, tag: str) -> Iterator[str]:
    for query, row in zip(queries, scores, strict=True):
        for place, column in enumerate(np.argsort(-row, kind="stable")[:depth].tolist(), 1):
            yield f"{query} Q0 {candidates[column]} {place} {float(row[column])!r} {tag}\n"


def quoted(names: list[str]) -> list[str]:
    """Ids that hold no white space, as in a URL."""
    return [quote(name, safe="/#:+@,;=()&!") for name in names]
