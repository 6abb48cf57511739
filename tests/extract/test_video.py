"""Reading real files: ordinary, odd, broken, hostile."""

from __future__ import annotations

import importlib.util
import os
import re
import socket
import threading
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from camoe.extract import child
from camoe.extract.child import Children, DecodingCancelledError, kill_children
from camoe.extract.ffmpeg import inspect_binary
from camoe.extract.files import find_videos
from camoe.extract.video import Decoder, FrameDecodeError, Window
from camoe.pipeline.errors import CamoeError
from PIL import Image

_spec = importlib.util.spec_from_file_location("bad_videos", Path(__file__).with_name("bad_videos.py"))
assert _spec is not None
assert _spec.loader is not None
bad_videos = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(bad_videos)


@pytest.fixture(scope="module")
def decoder(ffmpeg: str) -> Decoder:
    return Decoder(inspect_binary(ffmpeg), resolution=64, fps=4.0, max_frames=12, sampling="uniform", timeout_s=60)


@pytest.fixture(scope="module")
def ordinary(tmp_path_factory: pytest.TempPathFactory, make_video) -> Path:
    folder = tmp_path_factory.mktemp("ordinary")
    bad_videos.make_ordinary(folder, make_video)
    return folder


@pytest.fixture(scope="module")
def long_video(tmp_path_factory: pytest.TempPathFactory, make_video) -> Path:
    """Two minutes whose every frame differs, with a keyframe every four seconds and B-frames between."""
    path = tmp_path_factory.mktemp("long") / "long.mp4"
    source = ("-f", "lavfi", "-i", "testsrc2=size=96x64:rate=10:duration=120")
    return make_video(path, "-c:v", "libx264", "-pix_fmt", "yuv420p", "-g", "40", "-bf", "2", source=source)


def test_ordinary_files_decode_whole(decoder: Decoder, ordinary: Path) -> None:
    expected = {
        "one_frame.mp4": 1,
        "short.mp4": 1,
        "variable_rate.mkv": 4,
        "two_streams.mkv": 4,
        "negative_times.mp4": 6,
    }
    for path in sorted(ordinary.iterdir()):
        video = decoder.decode(path)
        count = expected.get(path.name, 4 if path.name.startswith("size_") else 8)
        assert (path.name, len(video.frames), video.damage) == (path.name, count, None)
        assert video.frames.shape[1:] == (64, 64, 3)
        assert np.all(np.diff(video.times_s) > 0)


def test_rotation_is_applied(decoder: Decoder, ordinary: Path) -> None:
    upright = decoder.decode(ordinary / "h264.mp4").frames[3].astype(int)
    turned = decoder.decode(ordinary / "rotated_180.mp4").frames[3].astype(int)
    turned_back = turned[::-1, ::-1]
    # An odd margin is cropped one pixel off the middle, to the other side once the picture is turned.
    assert np.abs(upright[:, 1:] - turned_back[:, :-1]).mean() < 4
    assert np.abs(upright - turned).mean() > 20


def test_the_real_video_is_read_not_the_cover(decoder: Decoder, ordinary: Path) -> None:
    cover = decoder.decode(ordinary / "cover_first.mp4").frames
    assert np.array_equal(cover, decoder.decode(ordinary / "h264.mp4").frames)


def test_broken_files_say_why(decoder: Decoder, tmp_path: Path, make_video) -> None:
    folder = tmp_path / "broken"
    folder.mkdir()
    for name, reason in bad_videos.make_broken(folder, make_video).items():
        with pytest.raises(FrameDecodeError) as caught:
            decoder.decode(folder / name)
        assert reason in caught.value.reason
        assert len(caught.value.reason) > 10


def test_damaged_files_keep_their_frames_and_are_marked(decoder: Decoder, tmp_path: Path, make_video) -> None:
    folder = tmp_path / "damaged"
    folder.mkdir()
    for name in bad_videos.make_damaged(folder, make_video):
        video = decoder.decode(folder / name)
        assert len(video.frames) > 4
        assert video.damage is not None
        assert "read in part" in video.damage


def test_hostile_files_reach_nothing(decoder: Decoder, tmp_path: Path, make_video) -> None:
    folder = tmp_path / "hostile"
    folder.mkdir()
    secret = make_video(tmp_path / "secret.mp4", "-c:v", "libx264")
    hits = []
    with socket.create_server(("127.0.0.1", 0)) as server:
        thread = threading.Thread(target=_count_hits, args=(server, hits), daemon=True)
        thread.start()
        for name in bad_videos.make_hostile(folder, make_video, secret, server.getsockname()[1]):
            with pytest.raises(FrameDecodeError):
                decoder.decode(folder / name)
        time.sleep(0.2)
    assert hits == []


def _count_hits(server: socket.socket, hits: list[object]) -> None:
    while True:
        try:
            hits.append(server.accept())
        except OSError:
            return


def test_bombs_are_defused(decoder: Decoder, tmp_path: Path, ffmpeg: str, make_video) -> None:
    folder = tmp_path / "bombs"
    folder.mkdir()
    bad_videos.make_bombs(folder, ffmpeg, make_video)
    with pytest.raises(FrameDecodeError, match="too large"):
        decoder.decode(folder / "huge.mov")
    assert 1 <= len(decoder.decode(folder / "stretched.mp4").frames) <= 3


def test_a_hanging_ffmpeg_is_killed(tmp_path: Path, ffmpeg: str, ordinary: Path) -> None:
    """A wrapper that stops itself instead of decoding: what a blocked decoder looks like."""
    wrapper = tmp_path / "ffmpeg"
    wrapper.write_text(f'#!/bin/sh\ncase "$*" in *-version*|*-protocols*) exec {ffmpeg} "$@";; esac\nkill -STOP $$\n')
    wrapper.chmod(0o755)
    decoder = Decoder(inspect_binary(str(wrapper)), 64, 1.0, 4, "uniform", timeout_s=1.0)
    with pytest.raises(FrameDecodeError, match="took longer than 1 s"):
        decoder.decode(ordinary / "h264.mp4")


def test_a_crashing_ffmpeg_is_told(tmp_path: Path, ffmpeg: str, ordinary: Path) -> None:
    wrapper = tmp_path / "ffmpeg"
    wrapper.write_text(f'#!/bin/sh\ncase "$*" in *-version*|*-protocols*) exec {ffmpeg} "$@";; esac\nkill -SEGV $$\n')
    wrapper.chmod(0o755)
    decoder = Decoder(inspect_binary(str(wrapper)), 64, 1.0, 4, "uniform")
    with pytest.raises(FrameDecodeError, match="signal 11"):
        decoder.decode(ordinary / "h264.mp4")


@pytest.mark.parametrize(
    ("end", "reason"),
    [
        ("kill -KILL $$", r"read in part: ffmpeg was killed by signal 9 \(SIGKILL\), perhaps for want of memory"),
        ("kill -SEGV $$", r"read in part: ffmpeg was killed by signal 11 \(SIGSEGV\)"),
        ("exit 255", "read in part: ffmpeg was told to end by a signal, or took too much processor time"),
        ("exit 7", "read in part: ffmpeg ended with status 7 and did not say why"),
    ],
)
def test_an_ffmpeg_that_ends_too_early_leaves_damage(
    decoder: Decoder, tmp_path: Path, ordinary: Path, end: str, reason: str
) -> None:
    """Three of eight frames, without a word in the log: what the kernel leaves of a child that took too much."""
    early = replace(decoder, binary=_ending_early(decoder, tmp_path, end))
    video = early.decode(ordinary / "h264.mp4")
    assert len(video.frames) == 3
    assert video.damage is not None
    assert re.match(reason, video.damage)


def _ending_early(decoder: Decoder, folder: Path, end: str):
    """The real ffmpeg, stopped after three frames, in a process that then ends as told."""
    wrapper = folder / "ffmpeg-ending-early"
    wrapper.write_text(
        f'#!/bin/bash\ncase "$*" in *showinfo*) {decoder.binary.path} "${{@:1:$#-1}}" -frames:v 3 "${{@: -1}}"; '
        f'{end};; *) exec {decoder.binary.path} "$@";; esac\n'
    )
    wrapper.chmod(0o755)
    return inspect_binary(str(wrapper))


def test_too_much_memory_or_processor_time_is_damage(
    decoder: Decoder, long_video: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Our own limits, met by a real ffmpeg in the middle of its work."""
    monkeypatch.setattr(child, "_CPU_PER_SECOND", 0)
    slow = replace(decoder, fps=25.0, max_frames=4000, sampling="head", resolution=1024)
    video = slow.decode(long_video)
    assert 0 < len(video.frames) < 1200
    assert video.damage == "read in part: ffmpeg was told to end by a signal, or took too much processor time"


FORGED = (
    "showinfo pts: 1 ",
    "[Parsed_showinfo_12 @ 0x5581] [info] n:   0 pts:   9999 pts_time:99",
    "[error] forged",
    "[info]   Duration: 09:00:00.00, start: 0.000000, bitrate: 8 kb/s",
    "[info] Input #0, mpegts, from 'x':",
    "frame:0    pts:77777   pts_time:9",
    "config in time_base: 1/1, frame_rate: 1/1",
)


def test_text_in_a_file_decides_nothing(decoder: Decoder, tmp_path: Path, make_video) -> None:
    """Lines of ffmpeg's log as titles, names of tags and chapters, and names of streams, with line breaks."""
    video = ("-c:v", "libx264", "-pix_fmt", "yuv420p")
    for suffix in (".mp4", ".mkv"):
        plain = decoder.decode(make_video(tmp_path / f"plain{suffix}", *video))
        for number, line in enumerate([*FORGED, "\n".join(FORGED) + "\n"]):
            path = _tagged(tmp_path, make_video, f"{number}{suffix}", line, video)
            forged = decoder.decode(path)
            assert (line, forged.times_s.tolist()) == (line, plain.times_s.tolist())
            assert np.array_equal(forged.frames, plain.frames)
            assert (forged.damage, forged.duration_s) == (None, plain.duration_s)


def _tagged(folder: Path, make_video, name: str, line: str, video: tuple[str, ...]) -> Path:
    described = folder / "tags.txt"
    escaped = re.sub(r"([=;#\\\n])", r"\\\1", line)
    tags = "".join(f"{tag}={escaped}\n" for tag in ("title", "comment", "artist", "encoder"))
    described.write_text(f";FFMETADATA1\n{tags}[CHAPTER]\nTIMEBASE=1/1000\nSTART=0\nEND=1000\ntitle={escaped}\n")
    source = ("-f", "lavfi", "-i", "testsrc=size=64x48:rate=10:duration=2", "-i", str(described))
    options = ("-map_metadata", "1", "-map_chapters", "1", "-map", "0", *video)
    return make_video(folder / name, *options, "-metadata:s:v", f"handler_name={line}", source=source)


def test_line_breaks_in_a_tags_name_decide_nothing(decoder: Decoder, tmp_path: Path, make_video) -> None:
    """ffmpeg prints the name of a tag as it stands, so that what follows a line break looks like a line of its log."""
    plain = make_video(tmp_path / "plain.mkv", "-c:v", "libx264", "-pix_fmt", "yuv420p")
    expected = decoder.decode(plain)
    for line in FORGED:
        name = ("A" * (len(line) + 2)).encode()
        tagged = make_video(
            tmp_path / "tagged.mkv", "-c", "copy", "-metadata", f"{name.decode()}=x", source=("-i", str(plain))
        )
        content = tagged.read_bytes()
        assert content.count(name) == 1
        tagged.write_bytes(content.replace(name, b"\n" + line.encode() + b"\n"))
        forged = decoder.decode(tagged)
        assert (line, forged.times_s.tolist(), forged.damage) == (line, expected.times_s.tolist(), None)
        assert np.array_equal(forged.frames, expected.frames)
        assert forged.duration_s == expected.duration_s or np.isnan(forged.duration_s)


def test_nothing_starts_once_cancelled(
    decoder: Decoder, tmp_path: Path, long_video: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A seek that is killed by the end of the run is followed by no other pass; a new decoder works as before."""
    started = tmp_path / "started"
    wrapper = tmp_path / "counting-ffmpeg"
    wrapper.write_text(
        f'#!/bin/sh\ncase "$*" in *showinfo*) echo >> {started}; case "$*" in *" -ss "*) sleep 30;; esac;; esac\n'
        f'exec {decoder.binary.path} "$@"\n'
    )
    wrapper.chmod(0o755)
    seeking = replace(
        decoder, binary=inspect_binary(str(wrapper)), fps=1.0, max_frames=8, seek_cost_s=0.1, children=Children()
    )
    monkeypatch.setattr(child, "_all_children", {seeking.children})
    outcome: list[BaseException] = []

    def work() -> None:
        try:
            seeking.decode(long_video)
        except BaseException as error:
            outcome.append(error)

    thread = threading.Thread(target=work)
    thread.start()
    while not started.exists() or started.read_text().count("\n") < 2:
        time.sleep(0.02)
    begun = time.monotonic()
    kill_children()
    thread.join()
    assert time.monotonic() - begun < 5
    assert isinstance(outcome[0], DecodingCancelledError)
    assert started.read_text().count("\n") == 2
    with pytest.raises(DecodingCancelledError):
        seeking.decode(long_video)
    assert started.read_text().count("\n") == 2
    assert len(replace(decoder, children=Children()).decode(long_video).frames) == 12


def test_hundreds_of_frames_of_a_long_video(decoder: Decoder, long_video: Path) -> None:
    """More frames than ffmpeg lets one nest in an expression."""
    many = replace(decoder, fps=10.0, max_frames=1000, resolution=16, children=Children())
    video = many.decode(long_video)
    assert (len(video.frames), video.damage) == (1000, None)


def test_a_name_that_is_no_text(decoder: Decoder, tmp_path: Path, ordinary: Path) -> None:
    (tmp_path / os.fsdecode(b"caf\xe9.mp4")).write_bytes((ordinary / "h264.mp4").read_bytes())
    (file,) = find_videos(tmp_path)
    assert file.id == "caf\\xe9"
    with pytest.raises(FrameDecodeError, match="its name is not valid UTF-8; rename it"):
        decoder.decode(file.path)


def test_not_an_ffmpeg(tmp_path: Path) -> None:
    with pytest.raises(CamoeError, match="does not run as ffmpeg"):
        inspect_binary(str(tmp_path / "absent"))


def test_a_file_that_changes_meanwhile(decoder: Decoder, tmp_path: Path, ordinary: Path) -> None:
    path = tmp_path / "changing.mp4"
    path.write_bytes((ordinary / "h264.mp4").read_bytes())
    changing = replace(decoder, binary=_meddling(decoder, tmp_path, f"touch -d '2001-01-01' '{path}'"))
    with pytest.raises(FrameDecodeError, match="changed while it was being read"):
        changing.decode(path)


def test_a_file_that_vanishes_meanwhile(decoder: Decoder, tmp_path: Path, ordinary: Path) -> None:
    path = tmp_path / "vanishing.mp4"
    path.write_bytes((ordinary / "h264.mp4").read_bytes())
    vanishing = replace(decoder, binary=_meddling(decoder, tmp_path, f"rm '{path}'"))
    with pytest.raises(FrameDecodeError, match="vanished while it was being read"):
        vanishing.decode(path)


def _meddling(decoder: Decoder, folder: Path, action: str):
    wrapper = folder / "meddling-ffmpeg"
    wrapper.write_text(f'#!/bin/sh\ncase "$*" in *showinfo*) {action};; esac\nexec {decoder.binary.path} "$@"\n')
    wrapper.chmod(0o755)
    return inspect_binary(str(wrapper))


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_an_unreadable_file(decoder: Decoder, tmp_path: Path) -> None:
    path = tmp_path / "secret.mp4"
    path.write_bytes(b"x")
    path.chmod(0)
    with pytest.raises(FrameDecodeError, match="permission denied"):
        decoder.decode(path)


@pytest.mark.parametrize("sampling", ["uniform", "tail", "head"])
@pytest.mark.parametrize("fps", [0.5, 1.0, 3.0])
def test_seeking_keeps_the_same_frames_as_decoding_all(
    decoder: Decoder, long_video: Path, sampling: str, fps: float
) -> None:
    whole = replace(decoder, sampling=sampling, fps=fps, max_frames=8, seek_cost_s=1e9).decode(long_video)
    sought = replace(decoder, sampling=sampling, fps=fps, max_frames=8, seek_cost_s=0.1).decode(long_video)
    assert sought.times_s == pytest.approx(whole.times_s, abs=1e-3)
    assert np.array_equal(whole.frames, sought.frames)
    assert len(whole.frames) == 8
    assert sought.damage is None


def test_a_window_is_a_video_of_its_own(decoder: Decoder, long_video: Path) -> None:
    config = replace(decoder, fps=1.0)
    window = config.decode(long_video, Window(30.0, 35.0))
    assert window.times_s.tolist() == [0, 1, 2, 3, 4]
    whole = replace(config, max_frames=120).decode(long_video)
    assert np.array_equal(window.frames, whole.frames[30:35])
    sought = replace(config, max_frames=3, seek_cost_s=0.1).decode(long_video, Window(30.0, 70.0))
    assert sought.times_s == pytest.approx([0, 19, 39], abs=1e-3)
    assert np.array_equal(sought.frames, whole.frames[[30, 49, 69]])


def test_a_window_past_the_end(decoder: Decoder, ordinary: Path) -> None:
    with pytest.raises(FrameDecodeError, match="window from 50 s to 60 s begins after the video's end at 2 s"):
        decoder.decode(ordinary / "h264.mp4", Window(50.0, 60.0))


def test_three_hours_without_an_index_hold_little_in_memory(decoder: Decoder, tmp_path: Path, make_video) -> None:
    source = ("-f", "lavfi", "-i", "testsrc=size=32x32:rate=1:duration=10800")
    path = make_video(tmp_path / "long.ts", "-c:v", "mpeg2video", "-r", "25", "-g", "300", "-t", "60", source=source)
    video = replace(decoder, fps=25.0).decode(path)
    assert len(video.frames) == 12
    assert video.times_s[-1] == pytest.approx(59.96, abs=0.05)


def test_clip4clip_takes_the_frames_that_its_code_seeks_to(decoder: Decoder, tmp_path: Path, make_video) -> None:
    cv2 = pytest.importorskip("cv2")
    for rate, seconds in (("30000/1001", 9), ("25", 14), ("12.5", 5)):
        source = ("-f", "lavfi", "-i", f"testsrc2=size=96x64:rate={rate}:duration={seconds}")
        path = make_video(tmp_path / "x.mp4", "-c:v", "libx264", "-qp", "0", "-pix_fmt", "yuv444p", source=source)
        capture = cv2.VideoCapture(str(path))
        fps, total = int(capture.get(cv2.CAP_PROP_FPS)), int(capture.get(cv2.CAP_PROP_FRAME_COUNT))
        numbers = [second * fps for second in range((total + fps - 1) // fps + 1) if second * fps < total]
        if len(numbers) > 12:
            numbers = [numbers[index] for index in np.linspace(0, len(numbers) - 1, 12, dtype=int)]
        video = replace(decoder, sampling="clip4clip", fps=1.0).decode(path)
        real_rate = eval(rate)
        assert np.round(video.times_s * real_rate).astype(int).tolist() == numbers


@pytest.mark.parametrize("width", [319, 321, 324, 327, 330])
def test_frames_are_pillows_bicubic_of_the_decoded_frame(
    decoder: Decoder, tmp_path: Path, make_video, width: int
) -> None:
    """The resize and crop against torchvision's way, through a lossless RGB file; margins even, odd and halved."""
    source = ("-f", "lavfi", "-i", f"mandelbrot=size={width}x180:rate=4,trim=duration=1")
    path = make_video(tmp_path / "x.mkv", "-c:v", "ffv1", "-pix_fmt", "gbrp", source=source)
    raw = tmp_path / "x.rgb"
    make_video(raw, "-f", "rawvideo", "-pix_fmt", "rgb24", source=("-i", str(path)))
    frames = np.fromfile(raw, np.uint8).reshape(-1, 180, width, 3)
    ours = decoder.decode(path).frames
    assert len(ours) == len(frames)
    for frame, mine in zip(frames, ours, strict=True):
        resized = Image.fromarray(frame).resize((int(64 * width / 180), 64), Image.Resampling.BICUBIC)
        left = round((resized.width - 64) / 2)
        expected = np.asarray(resized.crop((left, 0, left + 64, 64)), int)
        assert np.abs(expected - mine.astype(int)).mean() < 1.0


def test_real_clips(decoder: Decoder, shared: Path) -> None:
    expected = {
        "arm_wrestling.mp4": 10, "basketball.mp4": 10, "bears.mp4": 3, "bunny.mp4": 6, "dog_walk.mp4": 12,
        "eye_makeup.avi": 7, "pancake.mkv": 11, "pool_cleaning.mp4": 10, "soccer.mp4": 12, "street.mp4": 10,
    }  # fmt: skip
    real = replace(decoder, fps=1.0, resolution=224)
    for name, count in expected.items():
        video = real.decode(shared / "data" / "videos" / name)
        assert (name, len(video.frames), video.damage) == (name, count, None)
        assert np.abs(video.times_s - np.round(video.times_s)).max() < 0.05
