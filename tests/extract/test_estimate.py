"""Dry runs: what would be done, from a sample that is really done, and nothing written."""

from __future__ import annotations

from pathlib import Path

import pytest
from camoe.extract.cli import main
from camoe.extract.config import ExtractConfig
from camoe.extract.estimate import Estimate, Sample, describe_estimate, estimate, parse_duration
from camoe.extract.run import extract
from camoe.pipeline.errors import CamoeError


@pytest.fixture
def world(tmp_path: Path, make_video) -> Path:
    (tmp_path / "videos").mkdir()
    for number in range(3):
        make_video(tmp_path / "videos" / f"v{number}.mp4", "-c:v", "libx264", "-pix_fmt", "yuv420p")
    (tmp_path / "c.csv").write_text("video_id,caption\nv0,a man runs\nv1,two dogs\nv2,a cat sleeps\n")
    return tmp_path


def config(world: Path, **changes: object) -> ExtractConfig:
    values: dict = {"videos": world / "videos", "captions": world / "c.csv", "clip": "tiny", "device": "cpu"}
    return ExtractConfig(**(values | {"out": world / "store", "precision": "fp32", "shard_size": 2} | changes))


def state(folder: Path) -> list[tuple[str, int]]:
    return sorted((str(path), path.stat().st_mtime_ns) for path in folder.rglob("*"))


@pytest.mark.parametrize("name", ["store", "s.h5"])
def test_nothing_is_written_and_the_work_is_told(world: Path, name: str) -> None:
    before = state(world)
    found = estimate(config(world, out=world / name))
    assert state(world) == before
    assert (found.videos.total, found.videos.count, found.chunks, found.captions.total) == (3, 3, 2, 3)
    assert found.seconds > found.videos.total_seconds > 0
    extract(config(world, out=world / name))
    after = state(world)
    there = estimate(config(world, out=world / name))
    assert (there.videos, there.captions, there.chunks) == (Sample(), Sample(), 0)
    assert state(world) == after
    size = sum(path.stat().st_size for path in world.rglob("*.h5"))
    assert there.held_size == size
    predicted = found.videos.total_size + found.captions.total_size
    assert 0.6 * size < predicted < 1.6 * size


def test_word_tokens_count(world: Path) -> None:
    changes: dict = {"videos": None, "captions": None, "out": None, "into": world / "store", "tokens": True}
    extract(config(world, videos=None))
    before = state(world)
    found = estimate(config(world, **changes))
    assert state(world) == before
    assert (found.captions.total, found.captions.count) == (3, 3)
    said = describe_estimate(found)
    assert said[2].endswith(" s, word tokens included (measured on 3 captions)")
    assert said[3].startswith("word tokens: about ")
    assert said[3].endswith(" for 3 distinct captions")
    extract(config(world, **changes))
    grown = sum(path.stat().st_size for path in world.rglob("*.h5")) - found.held_size
    assert 0.6 * grown < found.captions.total_size < 1.6 * grown
    assert estimate(config(world, **changes)).captions == Sample()


def test_what_would_be_refused_is_refused(world: Path) -> None:
    extract(config(world))
    with pytest.raises(CamoeError, match=r"fps is 1\.0 in the store and 2\.0 asked for"):
        estimate(config(world, fps=2.0))
    (world / "videos" / "v1.mp4").write_bytes(b"another")
    with pytest.raises(CamoeError, match=r"v1\.mp4 has changed since it was extracted"):
        estimate(config(world))


def test_machines() -> None:
    day = Estimate(Path("s"), Sample(864_000, 10, 1.0, 100.0), Sample(1000, 10, 6.0, 10.0), 3375, 256, 60.0, 0)
    assert day.seconds == 60 + 86_400 + 600
    assert day.machines(90_000) == 1
    assert day.machines(7200) == 14  # 86,400 s of videos in the 6,540 s that are left beside start and captions
    assert day.machines(660) is None
    said = describe_estimate(day, "2h")
    assert said[-1] == "within 2h: 14 machines like this one, --part 1/14 to 14/14"
    assert said[-2] == "in all: 24 h 11 min, and the store then takes about 8.6 MB"
    assert describe_estimate(day, "661s")[-1].endswith(
        "more chunks than 3375: give --shard-size 10 before anything is planned"
    )
    assert "not by more machines" in describe_estimate(day, "60s")[-1]


def test_times() -> None:
    assert [parse_duration(text) for text in ("2h", "1h30m", "45m", "90s", "0.5h")] == [7200, 5400, 2700, 90, 1800]
    for text in ("", "2", "h", "2 hours", "0m", "-1h"):
        with pytest.raises(CamoeError, match="should be a time such as 2h"):
            parse_duration(text)


def test_the_command(world: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["--videos", str(world / "videos"), "--out", str(world / "store"), "--clip", "tiny", "--device", "cpu"]
    before = state(world)
    assert main([*arguments, "--dry-run", "--within", "1h"], standalone_mode=False) == 0
    said = capsys.readouterr().out
    assert "to read: 3 videos in 1 chunk; to encode: 0 captions" in said
    assert "within 1h: one machine like this one" in said
    for more, message in ((["--within", "1h"], "belongs to --dry-run"), (["--dry-run", "--within", "x"], "such as 2h")):
        with pytest.raises(CamoeError, match=message):
            main([*arguments, *more], standalone_mode=False)
    assert state(world) == before
