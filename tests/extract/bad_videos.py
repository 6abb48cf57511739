"""A corpus of files that a folder of videos may hold: ordinary, odd, broken and hostile, each with what is expected."""

from __future__ import annotations

import os
import struct
import subprocess
import zipfile
from collections.abc import Callable
from pathlib import Path

Make = Callable[..., Path]

ORDINARY: dict[str, tuple[str, ...]] = {
    "h264.mp4": ("-c:v", "libx264", "-pix_fmt", "yuv420p"),
    "h264_10bit.mp4": ("-c:v", "libx264", "-pix_fmt", "yuv420p10le"),
    "h264_444.mp4": ("-c:v", "libx264", "-pix_fmt", "yuv444p"),
    "hevc.mp4": ("-c:v", "libx265", "-x265-params", "log-level=error", "-pix_fmt", "yuv420p"),
    "av1.mp4": ("-c:v", "libsvtav1", "-pix_fmt", "yuv420p", "-svtav1-params", "preset=12"),
    "vp9.webm": ("-c:v", "libvpx-vp9", "-pix_fmt", "yuv420p", "-deadline", "realtime"),
    "vp9_alpha.webm": ("-c:v", "libvpx-vp9", "-pix_fmt", "yuva420p", "-deadline", "realtime"),
    "mpeg4.avi": ("-c:v", "mpeg4",),
    "picture.gif": (),
    "interlaced.mpg": ("-c:v", "mpeg2video", "-flags", "+ilme+ildct", "-r", "25"),
    "stream.ts": ("-c:v", "libx264", "-pix_fmt", "yuv420p"),
    "negative_times.mp4": ("-c:v", "libx264", "-pix_fmt", "yuv420p", "-output_ts_offset", "-0.5"),
    "short.mp4": ("-c:v", "libx264", "-pix_fmt", "yuv420p", "-t", "0.1"),
    "one_frame.mp4": ("-c:v", "libx264", "-pix_fmt", "yuv420p", "-frames:v", "1"),
    "no_duration.mkv": ("-c:v", "libx264", "-pix_fmt", "yuv420p", "-live", "1"),
    "variable_rate.mkv": (
        "-vf", "select='lt(n,3)+eq(n,7)+gt(n,15)'", "-fps_mode", "vfr", "-c:v", "libx264", "-pix_fmt", "yuv420p",
    ),
    "name -with: 100% odd\nletters éü.mp4": ("-c:v", "libx264", "-pix_fmt", "yuv420p"),
}  # fmt: skip
"""Name -> encoder options; all decode whole."""

SIZES = {"1x1": "1x1", "17x31": "17x31", "8000x16": "8000x16", "16x8000": "16x8000"}


def make_ordinary(folder: Path, make_video: Make) -> list[str]:
    """Files that must decode without complaint; returns their names."""
    for name, options in ORDINARY.items():
        target = folder / name
        extra = ("-map_metadata", "-1") if name.endswith(".mp4") else ()
        make_video(folder / f"aside{target.suffix}", *options, *extra).rename(target)
    for name, size in SIZES.items():
        source = ("-f", "lavfi", "-i", f"testsrc=size={size}:rate=4:duration=1")
        make_video(folder / f"size_{name}.mkv", "-c:v", "ffv1", source=source)
    plain = folder / "h264.mp4"
    for angle in (90, 180, 270):
        source = ("-display_rotation", str(angle), "-i", str(plain))
        make_video(folder / f"rotated_{angle}.mp4", "-c", "copy", source=source)
    two = (
        "-f",
        "lavfi",
        "-i",
        "testsrc=duration=1:size=64x48:rate=5",
        "-f",
        "lavfi",
        "-i",
        "smptebars=duration=1:rate=5",
    )
    make_video(folder / "two_streams.mkv", "-map", "0", "-map", "1", "-c:v", "libx264", source=two)
    cover = folder / "cover.png"
    make_video(cover, source=("-f", "lavfi", "-i", "color=red:size=32x32:duration=1:rate=1"))
    source = ("-i", str(cover), "-i", str(plain))
    options = (
        "-map",
        "0",
        "-map",
        "1",
        "-c",
        "copy",
        "-disposition:v:0",
        "attached_pic",
        "-disposition:v:1",
        "default",
    )
    make_video(folder / "cover_first.mp4", *options, source=source)
    cover.unlink()
    return sorted(path.name for path in folder.iterdir())


def make_broken(folder: Path, make_video: Make) -> dict[str, str]:
    """Files of which nothing can be had; name -> a piece of the reason that must be given."""
    sound = make_video(folder.parent / "sound.mp4", "-c:v", "libx264", "-pix_fmt", "yuv420p", seconds=4)
    whole = sound.read_bytes()
    (folder / "empty.mp4").write_bytes(b"")
    (folder / "text.mp4").write_text("this is not a video\n" * 100)
    make_video(folder / "png.mp4", "-f", "image2", "-update", "1", "-c:v", "png", "-frames:v", "1")
    tone = ("-f", "lavfi", "-i", "sine=duration=1")
    make_video(folder / "mp3.mp4", "-f", "mp3", "-c:a", "libmp3lame", source=tone)
    make_video(folder / "audio_only.mp4", source=tone)
    with zipfile.ZipFile(folder / "zip.mp4", "w") as archive:
        archive.writestr("a.txt", "a" * 1000)
    (folder / "no_index.mp4").write_bytes(whole[: whole.index(b"moov") - 4])
    (folder / "folder.mp4").mkdir()
    os.symlink("loop.mp4", folder / "loop.mp4")
    os.symlink("nowhere.mp4", folder / "dangling.mp4")
    os.symlink("/dev/zero", folder / "endless.mp4")
    os.mkfifo(folder / "pipe.mp4")
    reasons = {
        "empty.mp4": "empty",
        "text.mp4": "",
        "png.mp4": "",
        "mp3.mp4": "",
        "audio_only.mp4": "no video stream",
        "zip.mp4": "",
        "no_index.mp4": "index",
        "folder.mp4": "folder",
        "loop.mp4": "itself",
        "dangling.mp4": "does not exist",
        "endless.mp4": "not a regular file",
        "pipe.mp4": "not a regular file",
    }
    return reasons


def make_damaged(folder: Path, make_video: Make) -> list[str]:
    """Files of which some frames can be had, and must be marked as damaged."""
    options = ("-c:v", "libx264", "-pix_fmt", "yuv420p", "-g", "5", "-movflags", "+faststart")
    whole = make_video(folder.parent / "whole.mp4", *options, seconds=8).read_bytes()
    (folder / "cut_in_half.mp4").write_bytes(whole[: len(whole) // 2])
    flipped = bytearray(whole)
    start = whole.index(b"mdat") + len(whole) // 4
    for place in range(start, start + 400, 3):
        flipped[place] ^= 0xFF
    (folder / "flipped.mp4").write_bytes(bytes(flipped))
    mkv = make_video(folder.parent / "whole.mkv", *options[:6], seconds=8).read_bytes()
    (folder / "cut_in_half.mkv").write_bytes(mkv[: len(mkv) // 2])
    return ["cut_in_half.mkv", "cut_in_half.mp4", "flipped.mp4"]


def make_hostile(folder: Path, make_video: Make, secret: Path, port: int) -> list[str]:
    """Playlists and the like, named `.mp4`, that ask for another file or an address; returns their names."""
    url = f"http://127.0.0.1:{port}/hit"
    (folder / "ffconcat.mp4").write_text(f"ffconcat version 1.0\nfile '{secret}'\n")
    (folder / "ffconcat_url.mp4").write_text(f"ffconcat version 1.0\nfile '{url}'\n")
    (folder / "hls.mp4").write_text(
        f"#EXTM3U\n#EXT-X-TARGETDURATION:10\n#EXTINF:10,\n{url}\n#EXTINF:10,\nfile://{secret}\n#EXT-X-ENDLIST\n"
    )
    for name, base in (("dash_url.mp4", url), ("dash_file.mp4", f"file://{secret}")):
        (folder / name).write_text(
            '<?xml version="1.0"?><MPD xmlns="urn:mpeg:dash:schema:mpd:2011" type="static" '
            'mediaPresentationDuration="PT4S" profiles="urn:mpeg:dash:profile:isoff-on-demand:2011"><Period>'
            '<AdaptationSet mimeType="video/mp4"><Representation id="1" bandwidth="1000" width="64" height="48">'
            f"<BaseURL>{base}</BaseURL></Representation></AdaptationSet></Period></MPD>"
        )
    (folder / "subtitle.mp4").write_text(f"1\n00:00:00,000 --> 00:00:02,000\n<img src='{url}'>\n")
    (folder / "sdp.mp4").write_text(f"v=0\no=- 0 0 IN IP4 127.0.0.1\nc=IN IP4 127.0.0.1\nm=video {port} RTP/AVP 96\n")
    return sorted(path.name for path in folder.iterdir())


def make_bombs(folder: Path, ffmpeg: str, make_video: Make) -> list[str]:
    """Files that would cost far more than they weigh: a huge picture, and timestamps stretched over years."""
    huge = ("-f", "lavfi", "-i", "color=black:size=16000x16000:rate=1:duration=1")
    make_video(folder / "huge.mov", "-c:v", "qtrle", "-frames:v", "1", source=huge)
    stretched = make_video(folder.parent / "few.mp4", "-c:v", "libx264", "-pix_fmt", "yuv420p", "-frames:v", "3")
    data = bytearray(stretched.read_bytes())
    times = data.index(b"stts") + 8
    (entries,) = struct.unpack(">I", data[times : times + 4])
    for entry in range(entries):
        struct.pack_into(">I", data, times + 4 + entry * 8 + 4, 0x70000000)
    (folder / "stretched.mp4").write_bytes(bytes(data))
    return ["huge.mov", "stretched.mp4"]


def count_frames(ffmpeg: str, path: Path) -> int:
    """How many frames ffmpeg decodes of a file, asked plainly."""
    command = [ffmpeg, "-v", "error", "-i", str(path), "-map", "0:V:0", "-f", "framecrc", "-"]
    lines = subprocess.run(command, capture_output=True, check=True, text=True).stdout.splitlines()
    return sum(not line.startswith("#") for line in lines)
