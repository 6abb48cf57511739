"""Chunked ranking equals the plain functions, whatever the block size."""

import os
import subprocess
import sys

import numpy as np
import pytest
import torch
from camoe.evaluate import ranking as ranking_at_its_old_path
from camoe.pipeline.errors import CamoeError
from camoe.pipeline.ranking import ranks_chunked, text_to_video_ranks, video_to_text_ranks
from hypothesis import given, settings
from hypothesis import strategies as st


@given(st.integers(1, 30), st.integers(1, 9), st.integers(1, 2000), st.integers(0, 999), st.sampled_from(["c4c", "ce"]))
@settings(deadline=None, max_examples=100)
def test_equals_the_plain_functions(texts: int, videos: int, block_bytes: int, seed: int, v2t: str) -> None:
    random = np.random.default_rng(seed)  # small whole numbers: products are exact, ties are many
    text = random.integers(-2, 3, (texts, 3)).astype(np.float64)
    video = random.integers(-2, 3, (videos, 3)).astype(np.float64)
    owner = random.integers(0, videos, texts)
    text_ranks, video_ranks = ranks_chunked(text, video, owner, v2t, block_bytes=block_bytes)
    np.testing.assert_array_equal(text_ranks, text_to_video_ranks(text @ video.T, owner))
    np.testing.assert_array_equal(video_ranks, video_to_text_ranks(text @ video.T, owner, v2t))


def unit_rows(rows: int, width: int, seed: int, dtype: torch.dtype) -> torch.Tensor:
    values = torch.randn(rows, width, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    return (values / values.norm(dim=1, keepdim=True)).to(dtype)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.float16, torch.bfloat16])
def test_normalised_embeddings_of_every_precision(dtype: torch.dtype) -> None:
    text, video = unit_rows(157, 32, 0, dtype), unit_rows(101, 32, 1, dtype)
    owner = torch.arange(157) % 97
    matrix = text.double() @ video.double().T
    text_ranks, video_ranks = ranks_chunked(text, video, owner, block_bytes=5000)
    assert (text_ranks == text_to_video_ranks(matrix, owner)).all()
    assert (video_ranks == video_to_text_ranks(matrix, owner)).all()


GROWTH = """
import resource, torch
from camoe.pipeline.ranking import ranks_chunked
rows = torch.nn.functional.normalize(torch.randn(14_000, 4), dim=1)
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
ranks_chunked(rows, rows, block_bytes=2**24)
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="peak memory is read as Linux reports it, in KiB")
def test_memory_stays_bounded() -> None:
    """14,000 x 14,000 in float32 is 784 MB; the process grows by less than a fourth of that."""
    child = subprocess.run([sys.executable, "-c", GROWTH], capture_output=True, text=True, check=True)
    assert int(child.stdout) < 196_000


@pytest.mark.needs_gpu
def test_cuda_equals_cpu() -> None:
    if not torch.cuda.is_available():
        assert os.environ.get("REQUIRE_GPU") != "1", "REQUIRE_GPU=1, but there is no CUDA device"
        pytest.skip("no CUDA device")
    text, video = unit_rows(300, 32, 0, torch.float64), unit_rows(200, 32, 1, torch.float64)
    owner = np.arange(300) % 190
    for on_gpu, on_cpu in zip(
        ranks_chunked(text, video, owner, device="cuda", block_bytes=9000),
        ranks_chunked(text.numpy(), video.numpy(), owner),
        strict=True,
    ):
        assert isinstance(on_gpu, torch.Tensor)
        assert on_gpu.tolist() == on_cpu.tolist()


@pytest.mark.parametrize(
    ("text", "video", "owner", "block_bytes", "message"),
    [
        (np.zeros((2, 3)), np.zeros((2, 4)), None, 100, "text is 3 wide and video 4"),
        (np.zeros((2, 3)), np.zeros((4, 3)), None, 100, "2 texts and 4 videos do not pair up"),
        (np.full((2, 3), np.nan), np.zeros((2, 3)), None, 100, "text contains 6 NaN"),
        (np.zeros((2, 3)), np.full((2, 3), np.inf), None, 100, "infinite"),
        (np.zeros((2, 3)), np.zeros((2, 3)), None, 0, "block_bytes is 0"),
    ],
)
def test_mistakes_are_named(
    text: np.ndarray, video: np.ndarray, owner: list[int] | None, block_bytes: int, message: str
) -> None:
    with pytest.raises(CamoeError, match=message):
        ranks_chunked(text, video, owner, block_bytes=block_bytes)


def test_mistakes_are_value_errors_too_and_the_old_path_still_leads_here() -> None:
    with pytest.raises(ValueError, match="pass a matrix"):
        text_to_video_ranks(np.zeros(3))
    assert ranking_at_its_old_path.ranks_chunked is ranks_chunked
