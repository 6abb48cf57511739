"""The demo's dataset on disk: real video files and a caption table."""

from __future__ import annotations

import csv
import subprocess
from pathlib import Path

import imageio_ffmpeg
import numpy as np
import pytest
from camoe.pipeline.demo.captions import captions_of
from camoe.pipeline.demo.dataset import Dataset, write_dataset, write_videos
from camoe.pipeline.demo.render import RESOLUTION, render_clip
from camoe.pipeline.demo.world import make_clips
from camoe.pipeline.demo.worlds import PLAIN
from camoe.pipeline.errors import CamoeError, RunStoppedError

FFMPEG = imageio_ffmpeg.get_ffmpeg_exe()


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    return write_dataset(tmp_path_factory.mktemp("demo"), "small", 0, ffmpeg=FFMPEG)


def decode(path: Path, *filters: str) -> np.ndarray:
    command = [
        FFMPEG,
        "-v",
        "error",
        "-i",
        str(path),
        *filters,
        "-f",
        "rawvideo",
        "-pix_fmt",
        "rgb24",
        "pipe:1",
    ]
    raw = subprocess.run(command, capture_output=True, check=True).stdout
    return np.frombuffer(raw, np.uint8).reshape(-1, RESOLUTION, RESOLUTION, 3)


def test_every_clip_has_a_file_and_nothing_else_is_left(dataset: Dataset) -> None:
    assert sorted(path.name for path in dataset.videos.iterdir()) == [f"{c.video_id}.mp4" for c in dataset.clips]
    assert sorted(path.name for path in dataset.captions.parent.iterdir()) == ["captions.csv", "videos"]


def test_files_decode_to_the_rendered_frames(dataset: Dataset) -> None:
    for clip in dataset.clips[::8]:
        decoded = decode(dataset.videos / f"{clip.video_id}.mp4")
        rendered = render_clip(clip)
        assert decoded.shape == rendered.shape
        assert np.abs(decoded.astype(int) - rendered.astype(int)).mean() < 8


def test_files_are_h264(dataset: Dataset) -> None:
    path = dataset.videos / f"{dataset.clips[0].video_id}.mp4"
    told = subprocess.run([FFMPEG, "-hide_banner", "-i", str(path)], capture_output=True, text=True, check=False).stderr
    assert "Video: h264" in told
    assert f"{RESOLUTION}x{RESOLUTION}" in told
    assert "8 fps" in told


def test_four_frames_a_second_are_eight_to_twelve(dataset: Dataset) -> None:
    counts = [
        len(decode(dataset.videos / f"{clip.video_id}.mp4", "-vf", "fps=4:round=up")) for clip in dataset.clips[::6]
    ]
    assert all(8 <= count <= 12 for count in counts)


def test_caption_table_tells_every_caption_and_subset(dataset: Dataset) -> None:
    with dataset.captions.open(newline="", encoding="utf-8") as stream:
        rows = list(csv.DictReader(stream))
    expected = [
        {"video_id": clip.video_id, "caption": caption, "split": clip.subset}
        for clip in dataset.clips
        for caption in captions_of(clip)
    ]
    assert rows == expected


def test_writing_again_alone_gives_the_same_bytes(dataset: Dataset, tmp_path: Path) -> None:
    clip = dataset.clips[10]
    assert write_videos([clip], PLAIN, tmp_path, FFMPEG) == 1
    name = f"{clip.video_id}.mp4"
    assert (tmp_path / name).read_bytes() == (dataset.videos / name).read_bytes()


def test_what_lay_in_memory_does_not_show(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """x264 reads bytes that it never wrote; in these two clips they decide how the right edge is coded."""
    clips = [make_clips("default")[place] for place in (442, 531)]
    written = set()
    for filler in ("1", "170"):
        monkeypatch.setenv("MALLOC_PERTURB_", filler)
        write_videos(clips, PLAIN, tmp_path, FFMPEG)
        written.add(tuple((tmp_path / f"{clip.video_id}.mp4").read_bytes() for clip in clips))
    assert len(written) == 1


def test_progress_is_told(tmp_path: Path) -> None:
    heard: list[tuple[int, int]] = []
    write_dataset(tmp_path, "small", 1, ffmpeg=FFMPEG, progress=lambda done, of: heard.append((done, of)))
    assert heard == [(done, 64) for done in (16, 32, 48, 64)]


def test_a_folder_with_a_dataset_is_refused(dataset: Dataset) -> None:
    with pytest.raises(CamoeError, match=r"captions\.csv already exists"):
        write_dataset(dataset.captions.parent, "small", 0)


def test_a_failing_ffmpeg_is_told(tmp_path: Path) -> None:
    with pytest.raises(RunStoppedError, match=r"ffmpeg could not write clip0000\.mp4 or a later clip to .*missing: .+"):
        write_videos(make_clips("small")[:1], PLAIN, tmp_path / "missing", FFMPEG)
