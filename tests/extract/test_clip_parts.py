"""The parts of OpenAI's package that are taken alone, against the package."""

from __future__ import annotations

import subprocess
import sys

import torch
from camoe.extract.clip_encoder import ClipEncoder
from camoe.extract.clip_parts import PUBLISHED, clip_class, clip_tokenizer
from camoe.extract.clip_weights import clip_package
from camoe.extract.strategies import read_whole

TEXTS = ["a red circle", "", "word " * 200, "emoji 🎬 été", "cut <|endoftext|> off", "a &amp; b", "<|endoftext|>"]


def test_the_published_weights_are_the_packages() -> None:
    assert clip_package().clip._MODELS == PUBLISHED


def test_the_parts_are_the_packages() -> None:
    for text in TEXTS:
        assert clip_tokenizer().encode(text) == clip_package().clip._tokenizer.encode(text)
    state = clip_class()(64, 64, 1, 64, 32, 77, 512, 64, 1, 1).state_dict()
    theirs = clip_package().model.CLIP(64, 64, 1, 64, 32, 77, 512, 64, 1, 1).state_dict()
    assert {name: value.shape for name, value in state.items()} == {name: v.shape for name, v in theirs.items()}


def test_sentences_are_cut_as_the_package_cuts_them() -> None:
    encoder = ClipEncoder.load("tiny", "cpu", "fp32")
    rows = clip_package().tokenize(TEXTS, truncate=True)
    for text, row in zip(TEXTS, rows.tolist(), strict=True):
        tokens = read_whole(text, encoder.tokens).tokens
        end = row.index(tokens[-1])
        assert list(tokens) == row[: end + 1]
    with torch.inference_mode():
        expected = encoder.model.encode_text(rows[:4])
    assert (encoder.encode_texts(TEXTS[:4]) - expected).abs().max() < 1e-4


def test_an_encoder_starts_without_torchvision() -> None:
    """Which takes as long to import as PyTorch, and would import its compiler as well."""
    program = (
        "import sys; from camoe.extract.clip_encoder import ClipEncoder; from camoe.extract import run; "
        "ClipEncoder.load('tiny', 'cpu').encode_texts(['a red circle']); "
        "print(sorted({'torchvision', 'torch._dynamo'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
