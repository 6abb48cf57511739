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
from .config import EvaluateConfig
from .ranked import Ranked
from .result import DIRECTIONS, Evaluation
from .subject import Subject

if TYPE_CHECKING:
    import pandas as pd


def check_exports(ranked: Ranked, config: EvaluateConfig) -> None:
    """Raise `CamoeError` where something was asked that needs the whole matrix, which was too large to hold."""
    for name in ("trec", "stress"):
        if getattr(config, name) and ranked.pool is None:
            raise CamoeError(f"--{name} needs the whole matrix of scores; raise --max-matrix-gb, or leave it out")


def write_exports(evaluation: Evaluation, subject: Subject, ranked: Ranked, config: EvaluateConfig) -> None:
    """Write what was asked beside the evaluation's JSON; files of an earlier evaluation of the same subset go."""
    captions, videos = subject.ids(config.subset)
    folder = evaluation.path.parent
    for kind in ("ranks.parquet", *(f"{direction}.{end}" for direction in DIRECTIONS for end in ("qrels", "*.run"))):
        for path in folder.glob(f"{escape(evaluation.stem)}.{kind}"):
            path.unlink()
    if config.ranks or config.trec:
        folder.mkdir(exist_ok=True)
    if config.ranks:
        with atomic_path(folder / f"{evaluation.stem}.ranks.parquet") as path:
            rank_table(ranked, captions, videos).to_parquet(path, index=False)
    if config.trec:
        write_trec(folder, evaluation.stem, ranked, captions, videos, config.trec)


def rank_table(ranked: Ranked, captions: list[str], videos: list[str]) -> pd.DataFrame:
    """One row per query and re-ranking: `rerank`, `direction`, `query` (a caption or video id), `video`, `rank`."""
    import pandas as pd  # slow to import, and seldom needed

    own_video = [videos[column] for column in ranked.video_of_caption]
    parts = []
    for name, ranks in ranked.ranks.items():
        for direction, queries, own in (("t2v", captions, own_video), ("v2t", videos, videos)):
            columns = {"rerank": name, "direction": direction, "query": queries, "video": own}
            parts.append(pd.DataFrame(columns | {"rank": ranks[direction]}))
    return pd.concat(parts, ignore_index=True)


def write_trec(folder: Path, stem: str, ranked: Ranked, captions: list[str], videos: list[str], depth: int) -> None:
    """`<stem>.<direction>.qrels`, and `<stem>.<direction>.<rerank>.run` with each query's `depth` best candidates.

    White space and other characters that the format cannot hold are written as in a URL (`a b` is `a%20b`). Scores are
    written exactly; tools break ties their own way. For `v2t` all of a video's captions are relevant.
    """
    assert ranked.pool is not None
    names = {"t2v": (quoted(captions), quoted(videos)), "v2t": (quoted(videos), quoted(captions))}
    pairs = list(zip(names["t2v"][0], (names["t2v"][1][column] for column in ranked.video_of_caption), strict=True))
    for direction in DIRECTIONS:
        relevant = pairs if direction == "t2v" else [(video, caption) for caption, video in pairs]
        lines = "".join(f"{query} 0 {candidate} 1\n" for query, candidate in relevant)
        write_atomic(folder / f"{stem}.{direction}.qrels", lines)
        for name in ranked.ranks:
            scores = ranked.pool.reranked(name, direction)
            by_query = scores if direction == "t2v" else scores.T
            with atomic_path(folder / f"{stem}.{direction}.{name}.run") as path, open(path, "w") as stream:
                stream.writelines(_run_lines(by_query, *names[direction], depth, f"camoe-{name}"))


def _run_lines(scores: np.ndarray, queries: list[str], candidates: list[str], depth: int, tag: str) -> Iterator[str]:
    for query, row in zip(queries, scores, strict=True):
        for place, column in enumerate(np.argsort(-row, kind="stable")[:depth].tolist(), 1):
            yield f"{query} Q0 {candidates[column]} {place} {float(row[column])!r} {tag}\n"


def quoted(names: list[str]) -> list[str]:
    """Ids that hold no white space, as in a URL."""
    return [quote(name, safe="/#:+@,;=()&!") for name in names]
