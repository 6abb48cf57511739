"""How long a warm search takes: the text tower, the ranking, and both, exact and by an index.

    python benchmarks/search.py [--videos 10000] [--queries 50] [--frames 12] [--index-videos 1000000] [--threads 2]
                                [--fit STORE]

Videos and queries are made up, 512 wide as ViT-B/32's, from a mixture that has the two traits of CLIP's embeddings
which matter to an index: both sides lie in narrow cones, apart from each other, and videos come in clusters.

    video = CONE u + SPREAD centre_k + NOISE own_i
    query = CONE' w + GAIN (SPREAD centre_k + NOISE own_i) + FOREIGN normal(D)     w = ALIGNED u + the rest normal(D)

with normal(D), centre_k, own_i, u and w unit vectors; clusters k are drawn by a power law. `fitted` derives the
parameters from five mean cosines: between videos, to the ten nearest videos, between queries, of a query to its own
video, and to others. With `--fit STORE` they are measured in a store with captions. Without, `TARGETS` are taken, set
by hand: 0.2 of a text to pictures that it does not describe and 0.25 to 0.34 to those that it does are what users of
ViT-B/32 report (github.com/openai/CLIP/issues/405, github.com/rom1504/clip-retrieval/issues/273); the cosines within
either side, and the number of clusters, are assumptions. Those that come out are printed above the table. Queries are
held out: none is a video. The independent-normal case, where neighbours mean nothing, is printed beside it.

Exact: `Searcher` on a store of `--videos`, zero-shot and a CAMoE model with three streams, whole answers with paths and
moments; the text tower is ViT-B/32 with random weights, which is as fast as the real one. A searcher that stays open
encodes all frames beforehand, as the page does; "just opened" has not. Then the same store by an index, for models of
several kinds, which encode the candidates of each query anew. Index: the 1000 nearest of `--index-videos`
mean-pooled vectors by `VideoIndex`, then ranked exactly, with recall@10 against the exact order, without the text;
needs faiss-cpu (`pip install 'camoe[faiss]'`), else it is left out, as with 0.
"""

from __future__ import annotations

import argparse
import importlib.util
import statistics
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import figures
import numpy as np
import torch
from camoe.evaluate.search.searcher import Searcher
from camoe.pipeline.checksum import file_sha256
from camoe.pipeline.store import FeatureStore, Shard, write_shard
from camoe.pipeline.store.schema import FULL, FUSION
from camoe.pipeline.store.video_index import VideoIndex, build_index, export_index, mean_pooled
from camoe.train.config import TrainConfig
from camoe.train.model import FeatureShape, build_model
from figures import Figure
from made_up_store import made_up_settings, made_up_videos
from random_clip import random_vit_b32

DIM = 512
CLUSTERS = 2000
MOST_MS = 30.0
"""Our aim for a whole search of 10,000 videos."""
WORDS = (
    ("a man", "a woman", "two children", "a brown dog", "a chef", "the player", "a band", "an old car"),
    ("rides", "throws", "is cutting", "slowly paints", "jumps over", "explains", "is playing with", "repairs"),
    (
        "a ball",
        "the guitar",
        "some onions",
        "a red bicycle",
        "a computer game",
        "the fence",
        "a paper plane",
        "a horse",
    ),
    ("on the beach", "in a kitchen", "at night", "in front of a crowd", "in the snow", "near a river", "on stage", ""),
)


@dataclass(frozen=True)
class Cosines:
    """Mean cosines: between videos, to the ten nearest, between queries, of a query to its own video, to others."""

    videos: float
    nearest: float
    queries: float
    own: float
    others: float


TARGETS = Cosines(videos=0.52, nearest=0.77, queries=0.52, own=0.32, others=0.21)


@dataclass(frozen=True)
class Mixture:
    """Parameters as above; `cone` is of videos, `cone_of_queries` of queries."""

    cone: float
    spread: float
    noise: float
    cone_of_queries: float
    aligned: float
    gain: float
    foreign: float


def fitted(wanted: Cosines) -> Mixture:
    """The mixture with these mean cosines, where all unit vectors drawn are at right angles, as in many dimensions."""
    cone, cone_of_queries = wanted.videos**0.5, wanted.queries**0.5
    gain = (wanted.own - wanted.others) / (1 - wanted.videos)
    return Mixture(
        cone=cone,
        spread=(wanted.nearest - wanted.videos) ** 0.5,
        noise=(1 - wanted.nearest) ** 0.5,
        cone_of_queries=cone_of_queries,
        aligned=wanted.others / (cone * cone_of_queries),
        gain=gain,
        foreign=max(0.0, 1 - wanted.queries - gain**2 * (1 - wanted.videos)) ** 0.5,
    )


def measured(path: str, most: int = 5000) -> Cosines:
    """The cosines of a store with captions, of at most `most` captions and their videos."""
    store = FeatureStore.open(path)
    videos = mean_pooled(store.frames()[:most].astype(np.float32))
    row_of = {video_id: row for row, video_id in enumerate(store.video_ids[:most])}
    table = store.text_table(FULL, FUSION)
    captions = [row for row, video_id in enumerate(store.caption_video_ids) if video_id in row_of][:most]
    queries = unit(table.embedding[table.row[captions]].astype(np.float32))
    own = np.array([row_of[store.caption_video_ids[row]] for row in captions])
    return cosines(videos, queries, own)


def cosines(videos: np.ndarray, queries: np.ndarray, own: np.ndarray) -> Cosines:
    """Of unit vectors `(N, D)` and `(M, D)`; `own (M,)` is each query's video."""
    some = videos[:: max(1, len(videos) // 1000)]
    between, apart = some @ some.T, ~np.eye(len(some), dtype=bool)
    nearest = np.sort(some[:100] @ videos.T, axis=1)[:, -11:-1]
    asked, others = queries @ queries.T, queries @ some.T
    return Cosines(
        videos=float(between[apart].mean()),
        nearest=float(nearest.mean()),
        queries=float(asked[~np.eye(len(asked), dtype=bool)].mean()),
        own=float((queries * videos[own]).sum(axis=1).mean()),
        others=float(others.mean()),
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--videos", type=int, default=10_000)
    parser.add_argument("--queries", type=int, default=50)
    parser.add_argument("--frames", type=int, default=12)
    parser.add_argument("--index-videos", type=int, default=1_000_000)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--exact-only", action="store_true", help="leave out all that needs an index")
    parser.add_argument(figures.OPTION, help=figures.HELP)
    parser.add_argument("--fit", metavar="STORE", help="fit the made-up embeddings to those of a store with captions")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    with tempfile.TemporaryDirectory() as folder:
        measure_search(Path(folder), options)
        if options.index_videos and not options.exact_only:
            measure_index(Path(folder), options)


# --- exact


def measure_search(folder: Path, options: argparse.Namespace) -> None:
    weights = random_vit_b32(folder / "vit-b32.pt")
    store = write_store(folder / "shards.h5", options.videos, options.frames, file_sha256(weights))
    print(
        f"\nexact search of {options.videos:,} videos of {options.frames} frames, "
        f"median of {options.queries} queries, ms"
    )
    print(f"{'':22}{'text':>9}{'ranking':>9}{'moments':>9}{'whole':>9}{'95 %':>9}")
    plain = Searcher.open(None, store, clip=str(weights), device="cpu")
    whole = {"zero-shot": show_times("zero-shot", plain, options.queries)}
    trained = Searcher.open(None, store, clip=str(weights), device="cpu")
    trained = with_model(trained)
    show_times("camoe, just opened", trained, options.queries)
    started = time.perf_counter()
    trained.prepare_moments()
    prepared = time.perf_counter() - started
    whole["camoe, three streams"] = show_times("camoe, three streams", trained, options.queries)
    print(f"(frames encoded beforehand in {prepared:.0f} s, {trained.ranker.frames.kept_bytes / 1e6:.0f} MB)")
    for name, taken in whole.items():
        what = f"warm search of {options.videos:,} videos, {name}"
        figures.tell(options.json, Figure(what, taken, "ms", most=MOST_MS))
    if has_faiss() and not options.exact_only:
        measure_indexed(store, weights, options)


def measure_indexed(store: Path, weights: Path, options: argparse.Namespace) -> None:
    """Whole searches with an index, where the model encodes the 1000 candidates of each query anew."""
    index = store.with_suffix(".faiss")
    export_index(FeatureStore.open(store), index)
    models: dict[str, dict] = {
        "zero-shot": {"model": "zero-shot", "streams": ("fusion",)},
        "camoe, mean": {"aggregator": ("mean",)},
        "camoe, attention": {"aggregator": ("attention",)},
        "xpool": {"model": "xpool", "streams": ("fusion",)},
        "frame-attention": {"model": "frame-attention", "streams": ("fusion",)},
    }
    print("\nthe same by an index, whose 1000 candidates the model encodes for each query, ms")
    print(f"{'':22}{'text':>9}{'ranking':>9}{'moments':>9}{'whole':>9}{'95 %':>9}")
    for name, settings in models.items():
        searcher = Searcher.open(None, store, clip=str(weights), device="cpu", index=index)
        show_times(name, with_model(searcher, **settings), options.queries)


def with_model(searcher: Searcher, **settings: Any) -> Searcher:
    """An untrained model, CAMoE's by itself, in the place of zero-shot: as fast as a trained one."""
    from camoe.evaluate.search.ranker import Ranker

    config = TrainConfig(features=("store",), **settings)
    shape = FeatureShape(DIM, searcher.gallery.max_frames, 100.0)
    ranker = Ranker(
        build_model(config.recipe, shape),
        searcher.gallery,
        device=torch.device("cpu"),
        raw=config.facts.raw,
        nearest=searcher.ranker.nearest,
    )
    reader = replace(searcher.reader, strategies=config.strategies)
    return replace(searcher, ranker=ranker, reader=reader, strategies=config.strategies)


def show_times(name: str, searcher: Searcher, count: int) -> float:
    """Prints medians in milliseconds and returns that of whole searches."""
    draw = np.random.default_rng(1)
    texts = [" ".join(str(draw.choice(part)) for part in WORDS).strip() for _ in range(count + 5)]
    text, ranking, moments, whole = [], [], [], []
    for place, sentence in enumerate(texts):
        started = time.perf_counter()
        query = searcher.query(sentence)
        encoded = time.perf_counter()
        scores = searcher.mix(searcher.score(query))
        rows = searcher.best(scores, 10)
        ranked = time.perf_counter()
        searcher.hits(query, scores, rows)
        ended = time.perf_counter()
        if place >= 5:  # the first ones warm up
            for found, seconds in (
                (text, encoded - started),
                (ranking, ranked - encoded),
                (moments, ended - ranked),
                (whole, ended - started),
            ):
                found.append(1000 * seconds)
    medians = "".join(f"{statistics.median(found):9.1f}" for found in (text, ranking, moments, whole))
    print(f"{name:22}{medians}{np.quantile(whole, 0.95):9.1f}")
    return statistics.median(whole)


def write_store(path: Path, count: int, frames: int, clip_sha256: str) -> Path:
    videos, _ = mixture(count, 0, fitted(TARGETS))
    draw = np.random.default_rng(2)
    values = np.empty((count, frames, DIM), np.float16)
    for frame in range(frames):
        values[:, frame] = videos + 0.3 * unit(draw.normal(size=videos.shape).astype(np.float32))
    ids = [f"clip{number:07d}" for number in range(count)]
    shard = Shard(made_up_settings(DIM, frames, clip_sha256), videos=made_up_videos(ids, values))
    write_shard(path, shard)
    return path


# --- made-up embeddings


def unit(vectors: np.ndarray) -> np.ndarray:
    return vectors / np.linalg.norm(vectors, axis=-1, keepdims=True)


def mixture(videos: int, queries: int, like: Mixture, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Unit vectors `(N, D)` and `(M, D)` float32, as described above."""
    draw = np.random.default_rng(seed)

    def normal(*shape: int) -> np.ndarray:
        return unit(draw.standard_normal(shape, np.float32))

    cone_of_videos, other = normal(2, DIM)
    other = unit(other - (other @ cone_of_videos) * cone_of_videos)
    cone_of_queries = unit(like.aligned * cone_of_videos + max(0.0, 1 - like.aligned**2) ** 0.5 * other)
    centres = normal(CLUSTERS, DIM)
    share = 1 / np.arange(1, CLUSTERS + 1) ** 0.7
    cluster = draw.choice(CLUSTERS, videos, p=share / share.sum())
    own = draw.integers(0, videos, queries)
    result, own_part = np.empty((videos, DIM), np.float32), np.empty((queries, DIM), np.float32)
    for start in range(0, videos, 100_000):
        part = slice(start, min(start + 100_000, videos))
        apart = like.spread * centres[cluster[part]] + like.noise * normal(part.stop - start, DIM)
        result[part] = unit(like.cone * cone_of_videos + apart)
        here = np.flatnonzero((own >= part.start) & (own < part.stop))
        own_part[here] = apart[own[here] - start]
    asked = unit(like.cone_of_queries * cone_of_queries + like.gain * own_part + like.foreign * normal(queries, DIM))
    if queries:
        found = cosines(result, asked, own)
        print("\nmean cosines: " + ", ".join(f"{name} {value:.2f}" for name, value in asdict(found).items()))
    return result, asked


def independent(videos: int, queries: int) -> tuple[np.ndarray, np.ndarray]:
    draw = np.random.default_rng(3)
    return unit(draw.standard_normal((videos, DIM), np.float32)), unit(draw.standard_normal((queries, DIM), np.float32))


# --- index


def has_faiss() -> bool:
    return importlib.util.find_spec("faiss") is not None


def measure_index(folder: Path, options: argparse.Namespace) -> None:
    if not has_faiss():
        print("\nno index is measured: faiss-cpu is not installed")
        return
    import faiss

    faiss.omp_set_num_threads(options.threads)
    like = fitted(measured(options.fit) if options.fit else TARGETS)
    count, makers = options.index_videos, {"mixture": partial(mixture, like=like), "independent normal": independent}
    print(f"\nindex over {count:,} videos, 1000 candidates, {options.threads} threads; ms are medians")
    rows = [f"{'':20}{'build s':>9}{'MB':>9}{'index ms':>10}{'exact ms':>10}{'recall@10':>11}"]
    for name, make in makers.items():
        videos, queries = make(count, options.queries)
        started = time.perf_counter()
        built_index = build_index(partial(np.array_split, videos, 64), count)
        built = time.perf_counter() - started
        index = VideoIndex(folder, built_index)
        exact, exact_ms = timed(partial(top_ten, videos), queries)
        found, index_ms = timed(partial(refined, index, videos), queries)
        recall = np.mean([len(set(a) & set(b)) / 10 for a, b in zip(exact, found, strict=True)])
        size = faiss.serialize_index(built_index).nbytes / 1e6
        rows.append(f"{name:20}{built:9.1f}{size:9.0f}{index_ms:10.1f}{exact_ms:10.1f}{recall:11.3f}")
    print("\n".join(rows))


def top_ten(videos: np.ndarray, query: np.ndarray) -> list[int]:
    scores = videos @ query
    best = np.argpartition(-scores, 10)[:10]
    return [int(row) for row in best[np.argsort(-scores[best])]]


def refined(index: VideoIndex, videos: np.ndarray, query: np.ndarray) -> list[int]:
    """As a search does it: the index finds candidates, whose own vectors are compared."""
    rows = index.nearest(query, 1000)
    return [int(row) for row in rows[np.argsort(-(videos[rows] @ query))][:10]]


def timed(find: Callable[[np.ndarray], list[int]], queries: np.ndarray) -> tuple[list[list[int]], float]:
    """What is found for each query, and the median in milliseconds; the first query is asked twice, to warm up."""
    find(queries[0])
    results, seconds = [], []
    for query in queries:
        started = time.perf_counter()
        results.append(find(query))
        seconds.append(time.perf_counter() - started)
    return results, 1000 * statistics.median(seconds)


if __name__ == "__main__":
    main()
