"""Extraction on a Ray cluster of several nodes: the same store as on one machine, whoever is killed meanwhile."""

from __future__ import annotations

import csv
import hashlib
import json
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from camoe.extract.config import ExtractConfig
from camoe.extract.run import extract
from camoe.pipeline.engines.ray import RayEngine
from camoe.pipeline.errors import CamoeError
from camoe.pipeline.store import FeatureStore
from camoe.pipeline.store.verify import verify_store

pytest.importorskip("ray", reason="Ray is not installed")
COLOURS = ("red", "green", "blue", "yellow", "purple", "orange", "pink", "white", "gray", "black", "brown")


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory, make_video) -> Path:
    """Eleven clips, one file that is no video, and captions."""
    folder = tmp_path_factory.mktemp("world")
    (folder / "videos").mkdir()
    for number, colour in enumerate(COLOURS):
        source = ("-f", "lavfi", "-i", f"color={colour}:size=64x48:rate=5:duration={1 + number % 3}")
        make_video(folder / "videos" / f"{colour}.mp4", "-c:v", "libx264", "-pix_fmt", "yuv420p", source=source)
    (folder / "videos" / "broken.mp4").write_bytes(b"")
    with open(folder / "captions.csv", "w", newline="") as stream:
        rows = [(colour, f"a {colour} circle", "train") for colour in COLOURS]
        csv.writer(stream).writerows([("video_id", "caption", "split"), *rows])
    return folder


def contents(store: Path) -> dict[str, str]:
    """Name and SHA-256 of everything that is there but the lock."""
    return {
        path.name: hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(store.iterdir())
        if path.name != ".lock"
    }


def test_an_address_where_nothing_listens_is_refused_at_once() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))  # bound, and not listening: nobody else gets the port
        address = f"127.0.0.1:{free.getsockname()[1]}"
        with pytest.raises(CamoeError, match=f"no Ray cluster answers at --ray-address {address} .*refused"):
            RayEngine(address)


def test_driver_killed_and_node_lost(world: Path, tmp_path: Path, alone: list[str], ffmpeg: str) -> None:
    """Nothing is made twice, the totals are right, and the store equals that of the local engine to the byte."""
    slow = tmp_path / "ffmpeg"
    slow.write_text(f'#!/bin/sh\ncase "$*" in *showinfo*) sleep 1;; esac\nexec {ffmpeg} "$@"\n')
    slow.chmod(0o755)
    options = {
        "videos": world / "videos", "captions": world / "captions.csv", "clip": "tiny", "device": "cpu",
        "precision": "fp32", "shard_size": 2, "workers": 1, "batch_size": 4, "ffmpeg": slow,
    }  # fmt: skip
    out = tmp_path / "store"
    words = [word for name, value in options.items() for word in (f"--{name.replace('_', '-')}", str(value))]
    script = Path(__file__).with_name("ray_cluster.py")
    command = [*alone, sys.executable, str(script), str(out), *words, "--out", str(out)]
    ran = subprocess.run(command, capture_output=True, text=True, timeout=900, check=False)
    assert ran.returncode == 0, ran.stderr
    told = json.loads(ran.stdout.splitlines()[-1])
    assert told["status"] == 3, told["err"]
    assert told["before"] < 5, "the driver was killed in the middle"
    assert all(told["kept"].values()), "what was finished is not made again"
    assert "ray: 2 workers on 2 nodes" in told["err"]
    assert "is lost" in told["err"]
    assert "11 videos (" in told["out"]
    assert "videos that could not be read: 1" in told["out"]
    extract(ExtractConfig(**{**options, "ffmpeg": str(slow)}, out=tmp_path / "local"))
    assert FeatureStore.open(out).content_hash == FeatureStore.open(tmp_path / "local").content_hash
    assert contents(out) == contents(tmp_path / "local")
    assert verify_store([out]) == []
