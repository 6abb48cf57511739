"""A small rendered world with a run trained on it, a folder of awkward videos, and a real server on loopback."""

from __future__ import annotations

import csv
import shutil
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
from camoe.evaluate.search.searcher import Searcher
from camoe.extract.config import ExtractConfig
from camoe.extract.run import extract
from camoe.pipeline.demo.dataset import write_dataset
from camoe.train.config import TrainConfig
from camoe.train.loop import fit

HOSTILE = "\"><img src=x onerror='window.hacked=1'>"
HOSTILE_CAPTION = "<script>window.hacked=1</script><img src=x onerror='window.hacked=1'> a pink moon"


@dataclass(frozen=True)
class World:
    """Only for reading."""

    videos: Path
    store: Path
    bare: Path
    run: Path


@pytest.fixture(scope="session")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    folder = tmp_path_factory.mktemp("world")
    data = write_dataset(folder, "small", workers=2)
    made = {"videos": data.videos, "clip": "tiny", "fps": 4.0, "precision": "fp32", "device": "cpu"}
    store, bare = folder / "shards.h5", folder / "bare.h5"
    extract(ExtractConfig(captions=data.captions, out=store, **made))
    extract(ExtractConfig(out=bare, **made))
    run = fit(
        TrainConfig(features=(str(store),), out=folder / "run", epochs=8, aggregator=("mean",), device="cpu", threads=1)
    )
    return World(data.videos, store, bare, run)


@pytest.fixture(scope="session")
def searcher(world: World) -> Searcher:
    return Searcher.open(world.run, device="cpu")


@pytest.fixture(scope="session")
def zero_shot(world: World) -> Searcher:
    return Searcher.open(None, world.store, device="cpu")


@dataclass(frozen=True)
class Zoo:
    """`videos` holds, beside sound clips in mkv and avi and an mp4 that browsers do not play, one with a hostile name
    and caption, `dead` that is deleted, `link` that became a link to `secret` outside, and `changed`."""

    videos: Path
    searcher: Searcher
    secret: Path


@pytest.fixture(scope="session")
def zoo(world: World, tmp_path_factory: pytest.TempPathFactory, make_video: Callable[..., Path]) -> Zoo:
    folder = tmp_path_factory.mktemp("zoo")
    videos = folder / "videos"
    (videos / "sub").mkdir(parents=True)

    def convert(source: str, name: str, *options: str) -> None:
        make_video(videos / name, *options, source=("-i", str(world.videos / f"{source}.mp4")))

    convert("clip0000", "sub/moon.mkv", "-c", "copy")
    convert("clip0003", "cross.avi", "-c:v", "mpeg4", "-q:v", "2")
    convert("clip0005", "odd.mp4", "-c:v", "mpeg4", "-q:v", "2")  # an mp4 in form, but no browser has its codec
    for source, name in (("clip0004", HOSTILE), ("clip0007", "dead"), ("clip0008", "link"), ("clip0009", "changed")):
        shutil.copy(world.videos / f"{source}.mp4", videos / f"{name}.mp4")
    with open(folder / "captions.csv", "w", newline="") as stream:
        rows = [("video_id", "caption"), (HOSTILE, HOSTILE_CAPTION), ("dead", "a red star"), ("link", "a red star")]
        csv.writer(stream).writerows(rows)
    store = folder / "shards.h5"
    extract(ExtractConfig(videos=videos, captions=folder / "captions.csv", out=store, clip="tiny", fps=4.0))
    secret = folder / "secret.mp4"
    shutil.copy(videos / "link.mp4", secret)
    (videos / "link.mp4").unlink()
    (videos / "link.mp4").symlink_to(secret)
    (videos / "dead.mp4").unlink()
    (videos / "changed.mp4").write_bytes(b"another file")
    return Zoo(videos, Searcher.open(None, store, device="cpu"), secret)


Serving = Callable[..., AbstractContextManager[str]]


@pytest.fixture(scope="session")
def serving() -> Serving:
    """`with serving(searcher) as address:` is a real server on loopback, which ends with the block."""
    return _running


@contextmanager
def _running(searcher: Searcher | None, *, token: str | None = None, empty: str = "", port: int = 0) -> Iterator[str]:
    """The server's address."""
    import uvicorn
    from camoe.evaluate.search.serve import SERVER_SETTINGS, listen
    from camoe.evaluate.search.web.app import create_app

    if searcher is not None:
        _ = searcher.cutoff  # as `serve` does, before anyone asks
    with listen("127.0.0.1", port) as listener:
        app = create_app(searcher, host="127.0.0.1", token=token, empty=empty)
        server = uvicorn.Server(uvicorn.Config(app, **SERVER_SETTINGS))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
        thread.start()
        until = time.monotonic() + 20
        while not server.started and time.monotonic() < until:
            time.sleep(0.01)
        assert server.started
        try:
            yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        finally:
            server.should_exit = True
            thread.join(20)
            assert not thread.is_alive()
