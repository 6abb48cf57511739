from __future__ import annotations

from pathlib import Path

import pytest
import torch
from camoe.pipeline.clip_layers import find_layers, write_layers
from camoe.pipeline.errors import CamoeError


def test_another_clips_layers_are_refused(tmp_path: Path) -> None:
    write_layers(tmp_path, {"positional_embedding": torch.ones(3, 2)}, clip_sha256="a" * 64)
    with pytest.raises(CamoeError, match=r"another CLIP \(aaaaaaaaaaaa\) than .* \(bbbbbbbbbbbb\); write"):
        find_layers([tmp_path], clip_sha256="b" * 64)


def test_a_flipped_bit_is_told(tmp_path: Path) -> None:
    path = write_layers(tmp_path, {"positional_embedding": torch.ones(3, 2)}, clip_sha256="a" * 64)
    content = bytearray(path.read_bytes())
    content[-3] ^= 1
    path.write_bytes(content)
    with pytest.raises(CamoeError, match=r"does not match its checksum.* --clip-layers 4, or delete it"):
        find_layers([tmp_path], clip_sha256="a" * 64)
