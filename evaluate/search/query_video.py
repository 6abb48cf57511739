"""A video file as a query: decoded and encoded as the store's own videos were."""

from __future__ import annotations

from pathlib import Path

import torch

from ...extract.encoder import Encoder
from ...extract.ffmpeg import inspect_binary
from ...extract.video import Decoder
from ...pipeline.errors import CamoeError
from ...pipeline.ffmpeg_binary import find_ffmpeg
from ...pipeline.store import StoreSettings

TIMEOUT_S = 120.0


def embed_file(path: Path, settings: StoreSettings, encoder: Encoder) -> torch.Tensor:
    """The frame embeddings `(T, D)` float32 of a file, by the store's sampling.

    Raises `FrameDecodeError` where the file cannot be decoded, `CamoeError` where the store's sampling is not known.
    """
    fps, max_frames, sampling = settings.fps, settings.max_frames, settings.sampling
    if not fps or not max_frames or sampling is None:
        raise CamoeError("the store does not say how its videos were sampled, so a file cannot be; give --like an id")
    binary, side = inspect_binary(find_ffmpeg()), encoder.resolution
    decoder = Decoder(binary, side, fps, max_frames, sampling, TIMEOUT_S, resize=encoder.resize)
    return encoder.encode_frames(decoder.decode(path).frames)
