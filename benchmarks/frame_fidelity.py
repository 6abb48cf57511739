"""How close our frames are to Pillow's bicubic resize and centre crop of the same decoded frame.

    python benchmarks/frame_fidelity.py --videos DIR

ffmpeg decodes the first frames at full size, with exact chroma, for Pillow; ours are resized and cropped on the way.
"""

from __future__ import annotations

import subprocess
from pathlib import Path

import click
import cv2
import numpy as np
from camoe.extract.ffmpeg import inspect_binary
from camoe.extract.files import find_videos
from camoe.extract.video import Decoder
from camoe.pipeline.ffmpeg_binary import find_ffmpeg
from PIL import Image

FRAMES = 8


def decode_full(ffmpeg: str, path: Path, frames: int) -> np.ndarray:
    capture = cv2.VideoCapture(str(path))
    width, height = int(capture.get(cv2.CAP_PROP_FRAME_WIDTH)), int(capture.get(cv2.CAP_PROP_FRAME_HEIGHT))
    command = [ffmpeg, "-v", "error", "-i", str(path), "-map", "0:V:0", "-frames:v", str(frames), "-fps_mode"]
    command += ["passthrough", "-vf", "scale=flags=accurate_rnd+full_chroma_int+full_chroma_inp"]
    command += ["-f", "rawvideo", "-pix_fmt", "rgb24", "-"]
    raw = subprocess.run(command, capture_output=True, check=True).stdout
    return np.frombuffer(raw, np.uint8).reshape(-1, height, width, 3)


def by_pillow(frame: np.ndarray, resolution: int) -> np.ndarray:
    height, width = frame.shape[:2]
    short = min(height, width)
    size = (int(resolution * width / short), int(resolution * height / short))
    resized = Image.fromarray(frame).resize(size, Image.Resampling.BICUBIC)
    left, top = round((size[0] - resolution) / 2), round((size[1] - resolution) / 2)
    return np.asarray(resized.crop((left, top, left + resolution, top + resolution)))


@click.command()
@click.option("--videos", type=click.Path(exists=True, path_type=Path), required=True)
def main(videos: Path) -> None:
    ffmpeg = find_ffmpeg()
    decoder = Decoder(inspect_binary(ffmpeg), 224, 1000.0, FRAMES, "head")
    print(f"{'video':32}{'mean difference':>16}{'largest mean of a frame':>25}   (of 255)")
    means = []
    for file in find_videos(videos):
        ours = decoder.decode(file.path).frames
        full = decode_full(ffmpeg, file.path, len(ours))
        pairs = zip(ours, full, strict=True)
        differences = [np.abs(mine.astype(int) - by_pillow(frame, decoder.resolution)).mean() for mine, frame in pairs]
        means.append(np.mean(differences))
        print(f"{file.id:32}{means[-1]:16.2f}{max(differences):25.2f}")
    print(f"{'all':32}{np.mean(means):16.2f}")


if __name__ == "__main__":
    main()
