"""What all tests share: the folder of real data, an ffmpeg that encodes, and random CLIPs of real shape."""

from __future__ import annotations

import os
import random
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from camoe.pipeline.ffmpeg_binary import find_ffmpeg


@pytest.fixture(scope="session")
def shared() -> Path:
    """Real videos, captions and reference numbers; the test is skipped where CAMOE_SHARED is not set."""
    folder = os.environ.get("CAMOE_SHARED")
    if not folder:
        pytest.skip("CAMOE_SHARED names no folder of real data")
    return Path(folder)


@pytest.fixture(scope="session")
def ffmpeg() -> str:
    """A binary that encodes what the tests need."""
    return find_ffmpeg(prefer_bundled=True)


@pytest.fixture(scope="session")
def make_video(ffmpeg: str):
    """`make_video(path, options…)` runs ffmpeg on a moving test picture; `source` replaces the input options."""

    def make(path: Path, *options: str, source: tuple[str, ...] | None = None, seconds: float = 2.0) -> Path:
        given = source or ("-f", "lavfi", "-i", f"testsrc=size=64x48:rate=10:duration={seconds}")
        command = [ffmpeg, "-y", "-v", "error", "-nostdin", *given, *options, str(path)]
        subprocess.run(command, check=True, timeout=120)
        return path

    return make


@pytest.fixture(scope="session")
def alone() -> list[str]:
    """What runs a command in a network namespace with loopback alone, which Ray needs for several nodes here."""
    prefix = ["unshare", "-n", "sh", "-c", 'ip link set lo up && exec "$@"', "sh"]
    try:
        tried = subprocess.run([*prefix, "true"], capture_output=True, text=True, check=False)
    except FileNotFoundError:
        pytest.skip("several Ray nodes on one machine need `unshare`")
    if tried.returncode:
        pytest.skip(f"several Ray nodes on one machine need root for `unshare -n` ({tried.stderr.strip()})")
    return prefix


@pytest.fixture(autouse=True)
def environment_left_alone() -> Iterator[None]:
    """What a test, or the code that it calls, leaves in the environment would decide about later ones."""
    before = dict(os.environ)
    yield
    after = dict(os.environ)
    changed = {name for name in before.keys() | after.keys() if before.get(name) != after.get(name)}
    changed -= {"PYTEST_CURRENT_TEST", "LD_LIBRARY_PATH", "RAY_USAGE_STATS_ENABLED"}  # by pytest, OpenCV, for Ray
    changed -= {"TORCHINDUCTOR_CACHE_DIR"}  # by PyTorch, when it first loads its compiler
    assert not changed, f"left changed in the environment: {sorted(changed)}"


@pytest.fixture(scope="module")
def one_thread() -> Iterator[None]:
    """Children forked from a process with OpenMP threads may hang."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="session")
def soak_count() -> Callable[[int, int], int]:
    """`soak_count(sample, full)`: how often a long test repeats; `full` under `make soak`, which sets CAMOE_SOAK."""
    return lambda sample, full: full if os.environ.get("CAMOE_SOAK") else sample


@pytest.fixture(scope="session")
def mutants() -> Callable[..., Iterator[bytes]]:
    """`mutants(content, count, seed=0)`: the file's bytes with bits flipped, bytes replaced, or pieces cut, doubled,
    moved or taken off the end."""

    def mutate(content: bytes, draw: random.Random) -> bytes:
        changed = bytearray(content)
        for _ in range(draw.choice((1, 1, 2, 8))):
            place, length = draw.randrange(max(1, len(changed))), draw.choice((1, 2, 8, 64, 512))
            piece = changed[place : place + length]
            match draw.randrange(6):
                case 0 if changed:
                    changed[place] ^= 1 << draw.randrange(8)
                case 1:
                    changed[place : place + length] = draw.randbytes(len(piece))
                case 2:
                    del changed[place : place + length]
                case 3:
                    changed[place:place] = piece
                case 4:
                    del changed[place:]
                case _:
                    changed[place : place + length] = draw.choice((b"\0", b"\xff")) * len(piece)
        return bytes(changed)

    def all_mutants(content: bytes, count: int, seed: int = 0) -> Iterator[bytes]:
        draw = random.Random(seed)
        for _ in range(count):
            yield mutate(content, draw)

    return all_mutants
