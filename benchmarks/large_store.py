"""What a very large store costs to open and to look at: seconds, and memory beyond that of a process that only imports.

    python benchmarks/large_store.py [--small] [--shards 1000] [--videos 1000000] [--captions 20000000] [--folder DIR]

The store is made up: half of its shards hold videos (4 frames of 8 numbers), half captions with two text tables, so
that what is measured is the number of rows, not the width of features. Ids, captions and sentences are as long as real
ones. Each line is a process of its own. `--small` is 100 shards, 20,000 videos and 400,000 captions; `--keep`
leaves the store.
"""

from __future__ import annotations

import argparse
import itertools
import json
import multiprocessing
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import figures
import h5py
import numpy as np
from camoe.extract.pending import pending_items
from camoe.pipeline.captions.names import VideoItem
from camoe.pipeline.checksum import file_sha256
from camoe.pipeline.store import FeatureStore, StoreSettings
from camoe.pipeline.store.build import StoreBuilder
from camoe.pipeline.store.chunks import make_chunks
from camoe.pipeline.store.info import describe
from camoe.pipeline.store.manifest import FOLDER_MANIFEST, write_manifest
from camoe.pipeline.store.place import Place
from camoe.pipeline.store.plan import Plan
from camoe.pipeline.store.writer import write_attribute, write_column, write_settings
from figures import Figure

DIM, FRAMES, WORDS = 8, 4, 9
NAMES = (("full", "fusion"), ("muw", "entity"))
CHOSEN = 1_000
NEW_VIDEOS = 1_000
FRAME_SETTINGS = StoreSettings(
    "made-up", "00" * 32, 100.0, DIM, "fp32", fps=1.0, max_frames=FRAMES, sampling="uniform", batch_size=16
)
TEXT_SETTINGS = StoreSettings(
    "made-up", "00" * 32, 100.0, DIM, "fp32", streams={"fusion": "everything", "entity": "NOUN"},
    strategies=("full", "muw"), tagger="hanta", captions_sha256="00" * 32,
)  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shards", type=int, default=1_000)
    parser.add_argument("--videos", type=int, default=1_000_000)
    parser.add_argument("--captions", type=int, default=20_000_000)
    parser.add_argument("--small", action="store_true")
    parser.add_argument("--folder", type=Path, help="Where the store is made; about 6 GB are needed at full size.")
    parser.add_argument("--keep", type=Path, help="A folder that the store is left in, and used again if it is there.")
    parser.add_argument("--only", default="", help="Measure only what begins so, for example open.")
    parser.add_argument("--limit", type=float, default=300.0, help="Seconds that one measurement is given.")
    parser.add_argument(figures.OPTION, help=figures.HELP)
    parser.add_argument("--measure", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.measure:
        print(json.dumps(measure(options.measure, options.keep)))
        return
    if options.small:
        options.shards, options.videos, options.captions = 100, 20_000, 400_000
    with tempfile.TemporaryDirectory(dir=options.folder) as folder:
        out = options.keep or Path(folder) / "store"
        if not out.exists():
            began = time.perf_counter()
            make(out, options.shards, options.videos, options.captions)
            print(f"made in {time.perf_counter() - began:.0f} s")
        size = sum(path.stat().st_size for path in out.iterdir())
        shards = len(list(out.glob("*.h5")))
        print(f"{shards:,} shards, {options.videos:,} videos, {options.captions:,} captions, {size / 1e9:.2f} GB")
        print(f"{'':44}{'seconds':>9}{'CPU s':>9}{'MB':>9}")
        for name in MEASURED:
            if name.startswith(options.only):
                found = in_own_process(name, out, options.limit)
                print(f"{name:<44}{found if isinstance(found, str) else shown(found)}", flush=True)
                if not isinstance(found, str):
                    what = f"store of {options.captions:,} captions: {name}"
                    figures.tell(options.json, Figure(what, found["seconds"], "s"))


def shown(found: dict[str, Any]) -> str:
    return f"{found['seconds']:9.2f}{found['cpu']:9.2f}{found['mb']:9,.0f}   {found['told']}"


def in_own_process(name: str, out: Path, limit: float) -> str | dict[str, Any]:
    """What a measurement came to, or why it came to nothing."""
    command = [sys.executable, __file__, "--measure", name, "--keep", str(out)]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=limit)
    except subprocess.TimeoutExpired:
        return f"  not done in {limit:.0f} s"
    if done.returncode:
        return f"  failed: {(done.stderr.strip().splitlines() or [f'exit status {done.returncode}'])[-1]}"
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def measure(name: str, out: Path) -> dict[str, Any]:
    work = MEASURED[name]
    prepared = PREPARED.get(name, lambda: None)()
    before, began, cpu_began = peak_mb(), time.perf_counter(), time.process_time()
    told = work(out) if prepared is None else work(out, prepared)
    seconds, cpu = time.perf_counter() - began, time.process_time() - cpu_began
    return {"seconds": seconds, "cpu": cpu, "mb": peak_mb() - before, "told": told}


def peak_mb() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


# -- what is measured


def open_store(out: Path) -> str:
    return f"{len(FeatureStore.open(out).shards)} shards"


def list_videos(out: Path) -> str:
    return f"{sum(len(video_id) for video_id in FeatureStore.open(out).video_ids):,} characters of ids"


def list_captions(out: Path) -> str:
    """Ids and videos of the test captions, as columns."""
    store = FeatureStore.open(out)
    rows = np.flatnonzero(store.protocols["own"] == 3)
    ids, owners = store.caption_ids.take(rows), store.caption_video_ids.take(rows)
    letters = sum(len(part) for pair in zip(ids, owners, strict=True) for part in pair)
    return f"{len(rows):,} test captions of {len(store.caption_ids):,}, {letters:,} characters"


def read_videos(out: Path) -> str:
    store = FeatureStore.open(out)
    rows = np.linspace(0, len(store.video_ids) - 1, CHOSEN).astype(int)
    return f"frames {store.frames(rows).shape}"


def read_sentences(out: Path) -> str:
    store = FeatureStore.open(out)
    rows = np.linspace(0, len(store.caption_ids) - 1, CHOSEN).astype(int)
    table = store.text_table("muw", "entity", rows)
    return f"{len(table.row):,} captions, {len(table.sentence):,} sentences"


def tell(out: Path) -> str:
    return f"{len(list(describe(FeatureStore.open(out))))} lines"


def load(out: Path, device: Any) -> str:
    from camoe.train.data import load_features

    features = load_features(FeatureStore.open(out), {"fusion": "full", "entity": "muw"}, protocol="own", device=device)
    arrays = [
        features.frames,
        features.mask,
        *(part for table in features.texts for part in (table.embedding, table.row)),
    ]
    size = sum(array.numel() * array.element_size() for array in arrays)
    return f"of which {size / 1e6:,.0f} MB are tensors"


def go_on(out: Path) -> str:
    """What a run does before its first video where the store and its plan are there; no videos and captions listed."""
    place = Place.of(out)
    with StoreBuilder(out, FRAME_SETTINGS) as builder:
        plan = Plan.read(place)
        items = [VideoItem(video_id, Path("videos", planned.path)) for video_id, planned in plan.videos.items()]
        pending = pending_items(items, builder.inventory)
        chunks = make_chunks(plan, {item.id for item in pending}, builder.store)
    return f"{len(pending):,} of {len(items):,} planned videos to do, in {len(chunks)} chunks"


def search(out: Path, device: Any) -> str:
    from camoe.evaluate.search.searcher import Searcher

    return f"{len(Searcher.open(None, out, device='cpu').gallery):,} videos"


def torch_device() -> Any:
    import camoe.evaluate.search.searcher
    import camoe.train.data  # noqa: F401
    import torch

    return torch.device("cpu")


MEASURED: dict[str, Callable[..., str]] = {
    "open": open_store,
    "list all videos": list_videos,
    "list the captions of a split": list_captions,
    f"read the frames of {CHOSEN:,} videos": read_videos,
    f"read the sentences of {CHOSEN:,} captions": read_sentences,
    "camoe-store info": tell,
    "load for training, two streams": load,
    "camoe-extract that goes on: plan, inventory": go_on,
    "camoe-search opens": search,
}
PREPARED: dict[str, Callable[[], Any]] = {
    "load for training, two streams": torch_device,
    "camoe-search opens": torch_device,
}
"""What is imported, or made, before the clock starts."""


# -- the store


def make(out: Path, shards: int, videos: int, captions: int) -> None:
    """Shards as extraction names them, their plan and their checksums. Content sums are made up, too."""
    out.mkdir(parents=True)
    half = max(1, shards // 2)
    work = [(out, number, *ends, videos, captions) for number, ends in enumerate(cut(videos, half))]
    texts = [(out, number, *ends, videos, captions) for number, ends in enumerate(cut(captions, max(1, shards - half)))]
    with multiprocessing.get_context("fork").Pool() as pool:
        sums = dict(pool.starmap(make_frames, work) + pool.starmap(make_texts, texts))
    write_manifest(out / FOLDER_MANIFEST, sums)
    with open(out / "plan.jsonl", "w") as stream:
        stream.write('{"plan": 1, "precision": "fp32", "batch_size": 16}\n')
        for _, number, start, end, *_ in work:
            for name in numbered("clips/video", start, end).astype(str).tolist():
                line = {"id": name, "chunk": number, "path": f"{name}.mp4", "size": 1_000_000, "mtime": 1.7e9 + number}
                stream.write(json.dumps(line | {"sketch": f"{abs(hash(name)):032x}"}) + "\n")
        for name in numbered("clips/wideo", 0, NEW_VIDEOS).astype(str).tolist():
            stream.write(json.dumps({"id": name, "chunk": len(work), "path": f"{name}.mp4", "size": 1}) + "\n")


def cut(total: int, parts: int) -> list[tuple[int, int]]:
    ends = np.linspace(0, total, parts + 1).astype(int).tolist()
    return list(itertools.pairwise(ends))


def numbered(stem: str, start: int, end: int, digits: int = 8) -> np.ndarray:
    """`stem` with numbers of so many digits."""
    return with_number(stem, np.arange(start, end), digits)


def with_number(stem: str, numbers: np.ndarray, digits: int) -> np.ndarray:
    places = 10 ** np.arange(digits - 1, -1, -1)
    shown = (numbers[:, None] // places % 10 + ord("0")).astype(np.uint8)
    head = np.tile(np.frombuffer(stem.encode(), np.uint8), (len(numbers), 1))
    return as_bytes(np.hstack([head, shown]))


def as_bytes(letters: np.ndarray) -> np.ndarray:
    return np.ascontiguousarray(letters).view(f"S{letters.shape[1]}").ravel()


def sentences(draw: np.random.Generator, count: int, words: int) -> np.ndarray:
    """Of so many words of six letters."""
    vocabulary = draw.integers(ord("a"), ord("z") + 1, (2_000, 7)).astype(np.uint8)
    vocabulary[:, 6] = ord(" ")
    rank = (2_000 * draw.random((count, words)) ** 3).astype(int)
    return as_bytes(vocabulary[rank].reshape(count, -1)[:, :-1])


def make_frames(out: Path, number: int, start: int, end: int, *_: int) -> tuple[str, str]:
    path, count = out / f"frames-{number:05d}.h5", end - start
    draw = np.random.default_rng([1, number])
    ids = numbered("clips/video", start, end)
    with h5py.File(path, "w", libver=("v110", "v110")) as file:
        write_settings(file, FRAME_SETTINGS, "frames", order=number + 1)
        group = file.create_group("videos")
        write_attribute(group, "content_sum", f"{number + 1:064x}")
        columns = {
            "id": ids,
            "source": np.char.add(ids, b".mp4"),
            "status": np.full(count, b"ok"),
            "fingerprint": with_number("", draw.integers(0, 10**18, count), 32),
            "source_size": np.full(count, 1_000_000),
            "source_mtime": np.full(count, 1.7e9 + number),
            "duration_s": np.full(count, 15.0, np.float32),
            "frame_count": draw.integers(1, FRAMES + 1, count),
            "frames": draw.standard_normal((count, FRAMES, DIM), np.float32).astype(np.float16),
            "frame_time_s": np.tile(np.arange(FRAMES, dtype=np.float32), (count, 1)),
        }
        for name, values in columns.items():
            write_column(group, name, values)
    return path.name, file_sha256(path)


def make_texts(out: Path, number: int, start: int, end: int, videos: int, captions: int) -> tuple[str, str]:
    path, count = out / f"texts-{number:05d}.h5", end - start
    draw = np.random.default_rng([2, number])
    each = max(1, captions // videos)
    rows = np.arange(start, end)
    owner = np.minimum(rows // each, videos - 1)
    owners = with_number("clips/video", owner, 8)
    tables = {NAMES[0]: (count, WORDS, np.arange(count)), NAMES[1]: (max(1, count // 4), 3, np.arange(count) // 4)}
    with h5py.File(path, "w", libver=("v110", "v110")) as file:
        write_settings(file, TEXT_SETTINGS, "texts", order=number + 1)
        group = file.create_group("captions")
        write_attribute(group, "content_sum", f"{number + 1:064x}")
        text = sentences(draw, count, WORDS)
        tails = with_number("#", rows - owner * each, 3)
        write_column(group, "id", np.char.add(owners, tails))
        write_column(group, "video_id", owners)
        write_column(group, "text", text)
        subset = 1 + (owner % 10 >= 8) + (owner % 10 >= 9)
        codes = write_column(file.create_group("protocols"), "own", subset.astype(np.uint8))
        write_attribute(codes, "shortfall", "{}")
        for (strategy, stream), (distinct, words, row) in tables.items():
            table = file.create_group(f"texts/{strategy}/{stream}")
            write_attribute(table, "content_sum", f"{number + 1:064x}")
            write_attribute(table, "notes", "{}")
            write_column(table, "sentence", text if strategy == "full" else sentences(draw, distinct, words))
            write_column(table, "embedding", draw.standard_normal((distinct, DIM), np.float32).astype(np.float16))
            write_column(group, f"{strategy}/{stream}", np.minimum(row, distinct - 1))
    return path.name, file_sha256(path)


if __name__ == "__main__":
    main()
