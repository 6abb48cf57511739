"""The encoder against OpenAI's own code, on the built-in CLIP and on random ones of real architecture."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
import torch
from camoe.extract.clip_encoder import ClipEncoder, resolve_device, resolve_precision
from camoe.extract.clip_parts import PUBLISHED
from camoe.extract.clip_weights import clip_package, find_weights
from camoe.extract.tokens import TokenSequence
from camoe.pipeline.errors import CamoeError

TEXTS = ["a red circle", "a blue square slides over the sand", "a red circle", "", "word " * 200, "emoji 🎬 été"]


@pytest.fixture(scope="module")
def tiny() -> ClipEncoder:
    return ClipEncoder.load("tiny", "cpu", "fp32")


@pytest.fixture(scope="module")
def random_clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A state dict of OpenAI's ViT architecture, small and random."""
    torch.manual_seed(0)
    model = clip_package().model.CLIP(64, 64, 2, 128, 32, 77, 49408, 128, 2, 3)
    path = tmp_path_factory.mktemp("clip") / "random.pt"
    torch.save(model.state_dict(), path)
    return path


def test_whole_sentences_equal_openais_encode_text(random_clip: Path) -> None:
    encoder = ClipEncoder.load(str(random_clip), "cpu", "fp32")
    with torch.inference_mode():
        expected = encoder.model.encode_text(clip_package().tokenize(TEXTS, truncate=True))
    ours = encoder.encode_texts(TEXTS)
    assert ours.dtype == torch.float32
    assert (ours - expected).abs().max() < 1e-5
    assert torch.equal(ours[0], ours[2])


def test_positions_are_honoured(random_clip: Path) -> None:
    """Kept tokens at their own positions, against the slow way: all tokens, attention closed to the others."""
    encoder = ClipEncoder.load(str(random_clip), "cpu", "fp32")
    tokens, kept = (49406, 320, 736, 7117, 49407), (0, 2, 4)
    model = encoder.model
    mask = torch.full((5, 5), float("-inf")).triu_(1)
    for position in set(range(5)) - set(kept):
        mask[:, position] = float("-inf")
        mask[position, position] = 0.0
    for block in model.transformer.resblocks:
        block.attn_mask = mask
    with torch.inference_mode():
        x = model.token_embedding(torch.tensor([tokens])) + model.positional_embedding[:5]
        x = model.ln_final(model.transformer(x.permute(1, 0, 2)).permute(1, 0, 2))
        expected = x[0, -1] @ model.text_projection
    ours = encoder.encode_tokens([TokenSequence(tuple(tokens[i] for i in kept), kept)])[0]
    assert (ours - expected).abs().max() < 1e-5


def test_pooled_outputs_are_averaged(random_clip: Path) -> None:
    encoder = ClipEncoder.load(str(random_clip), "cpu", "fp32")
    tokens, positions = (49406, 320, 736, 49407), (0, 1, 2, 3)
    singles = [encoder.encode_tokens([TokenSequence(tokens, positions, (place,))])[0] for place in (1, 2)]
    both = encoder.encode_tokens([TokenSequence(tokens, positions, (1, 2))])[0]
    assert (both - (singles[0] + singles[1]) / 2).abs().max() < 1e-5
    end = encoder.encode_tokens([TokenSequence(tokens, positions, (3,))])[0]
    assert torch.equal(end, encoder.encode_tokens([TokenSequence(tokens, positions)])[0])


def test_a_sentence_has_one_embedding_in_any_company(tiny: ClipEncoder) -> None:
    sequences = [TokenSequence((49406, 320, token, 49407), (0, 1, 2, 3)) for token in range(500, 600)]
    together = tiny.encode_tokens(sequences)
    alone = torch.cat([tiny.encode_tokens([sequence]) for sequence in sequences[:5]])
    assert torch.equal(together[:5], alone)


def test_frames_equal_openais_preprocessing(tiny: ClipEncoder) -> None:
    from PIL import Image

    frames = np.random.default_rng(0).integers(0, 256, (3, 64, 64, 3), np.uint8)
    transform = clip_package().clip._transform(64)
    with torch.inference_mode():
        expected = tiny.model.encode_image(torch.stack([transform(Image.fromarray(frame)) for frame in frames]))
    assert (tiny.encode_frames(frames) - expected).abs().max() < 1e-4


def test_frames_of_another_size(tiny: ClipEncoder) -> None:
    with pytest.raises(ValueError, match=r"must be \(B, 64, 64, 3\)"):
        tiny.encode_frames(np.zeros((1, 32, 32, 3), np.uint8))


@pytest.mark.parametrize("precision", ["bf16"])
def test_low_precision_is_close(tiny: ClipEncoder, precision: str) -> None:
    low = ClipEncoder.load("tiny", "cpu", precision)
    cosine = torch.cosine_similarity(low.encode_texts(TEXTS[:2]), tiny.encode_texts(TEXTS[:2]))
    assert cosine.min() > 0.99


def test_unknown_names_list_the_known() -> None:
    with pytest.raises(CamoeError, match=r"ViT-B/33: neither a file nor a known model.*ViT-B/32"):
        find_weights("ViT-B/33")


def test_other_models_are_pointed_to_import(tmp_path: Path) -> None:
    with pytest.raises(CamoeError, match=r"siglip-base.*ViT-B/32.*SigLIP.*camoe-store import"):
        find_weights("google/siglip-base-patch16-224")
    with pytest.raises(CamoeError, match="a folder, not a weights file"):
        find_weights(str(tmp_path))


def test_fp32_keeps_the_files_own_numbers(random_clip: Path) -> None:
    """No detour through half precision, by which `clip.load` rounds every matrix."""
    state = torch.load(random_clip, weights_only=True)
    assert not all(torch.equal(tensor, tensor.half().float()) for tensor in state.values())
    model = ClipEncoder.load(str(random_clip), "cpu", "fp32").model
    loaded = model.state_dict()
    assert loaded.keys() == state.keys()
    assert all(torch.equal(loaded[name], state[name]) for name in state)


def test_cached_weights_are_checked(tmp_path: Path) -> None:
    (tmp_path / "ViT-B-32.pt").write_bytes(b"cut off")
    with pytest.raises(CamoeError, match=r"ViT-B-32\.pt is not ViT-B/32: its SHA-256 is .*, not 40d36571"):
        find_weights("ViT-B/32", tmp_path)


def test_weights_that_cannot_be_fetched(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With an address nobody listens at, the message says what to put where, and nothing is left behind."""
    monkeypatch.setitem(PUBLISHED, "ViT-B/32", "http://127.0.0.1:9/models/40d36571/ViT-B-32.pt")
    with pytest.raises(CamoeError, match=r"could not be fetched .*SHA-256 40d36571.* put it there as ViT-B-32\.pt"):
        find_weights("ViT-B/32", tmp_path / "cache" / "clip")
    assert list(tmp_path.iterdir()) == []


def test_devices_and_precisions() -> None:
    assert resolve_device("cpu").type == "cpu"
    for wrong in ("tpu?", "meta", "mps", "cuda:99", "cpu:5", ""):
        with pytest.raises(CamoeError, match=f"--device {re.escape(wrong)}: this machine has cpu.*; use one"):
            resolve_device(wrong)
    with pytest.raises(CamoeError, match="choose one of auto, fp32, bf16, fp16"):
        resolve_precision("int8", torch.device("cpu"), 1)
