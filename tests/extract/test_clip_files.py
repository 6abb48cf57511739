"""Weights files: all kinds that are read, and what is refused before any of it runs."""

from __future__ import annotations

import os
import pickle
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest
import torch
from camoe.extract.clip_encoder import ClipEncoder
from camoe.extract.clip_files import load_clip, read_state
from camoe.extract.clip_parts import PUBLISHED
from camoe.extract.clip_weights import clip_package, find_weights
from camoe.pipeline.errors import CamoeError
from safetensors.torch import save_file


@pytest.fixture(scope="module")
def vit(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return _saved(tmp_path_factory.mktemp("vit") / "vit.pt", 2, 128, 32)


def _saved(path: Path, layers: int | tuple[int, ...], width: int, patch: int | None) -> Path:
    torch.manual_seed(0)
    torch.save(clip_package().model.CLIP(64, 64, layers, width, patch, 77, 512, 128, 2, 2).state_dict(), path)
    return path


def test_state_dicts_and_safetensors_are_one(vit: Path, tmp_path: Path) -> None:
    state = torch.load(vit, weights_only=True)
    save_file(state, tmp_path / "vit.safetensors")
    torch.save(state, tmp_path / "old.pt", _use_new_zipfile_serialization=False)
    for name in ("vit.safetensors", "old.pt"):
        loaded = load_clip(find_weights(str(tmp_path / name))).state_dict()
        assert all(torch.equal(loaded[key], state[key]) for key in state)


def test_residual_networks_load(tmp_path: Path) -> None:
    path = _saved(tmp_path / "resnet.pt", (1, 2, 1, 1), 64, None)
    model = load_clip(find_weights(str(path)))
    assert model.visual.input_resolution == 64
    assert all(torch.equal(model.state_dict()[k], v) for k, v in torch.load(path, weights_only=True).items())


def test_no_random_numbers_are_drawn_to_be_thrown_away(vit: Path) -> None:
    torch.manual_seed(5)
    before = torch.get_rng_state()
    model = load_clip(find_weights(str(vit)))
    assert torch.equal(torch.get_rng_state(), before)
    tensors = [*model.parameters(), *model.buffers(), *(block.attn_mask for block in model.transformer.resblocks)]
    assert all(tensor.device.type == "cpu" and tensor.isfinite().any() for tensor in tensors)


def test_other_layouts_in_memory_are_the_same_model(vit: Path, tmp_path: Path) -> None:
    """Half precision, and matrices that lie transposed in the file: float32, one row after another, once loaded."""
    state = torch.load(vit, weights_only=True)
    torch.save({name: tensor.t().contiguous().t() if tensor.ndim == 2 else tensor for name, tensor in state.items()},
               tmp_path / "transposed.pt")  # fmt: skip
    torch.save({name: tensor.half() for name, tensor in state.items()}, tmp_path / "half.pt")
    assert not torch.load(tmp_path / "transposed.pt", weights_only=True)["text_projection"].is_contiguous()
    transposed, half = (load_clip(find_weights(str(tmp_path / f"{name}.pt"))) for name in ("transposed", "half"))
    for name, tensor in transposed.state_dict().items():
        assert tensor.is_contiguous()
        assert torch.equal(tensor, state[name])
        assert torch.equal(half.state_dict()[name], state[name].half().float())


class _Harmless(torch.nn.Module):
    def __init__(self, state: dict[str, torch.Tensor]) -> None:
        super().__init__()
        for name, tensor in state.items():
            self.register_buffer(name.replace(".", "_"), tensor)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x


@pytest.mark.filterwarnings("ignore")
def test_only_published_archives_are_loaded(vit: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A traced model of OpenAI's layout, once as a stranger's archive and once as if OpenAI had published it."""
    model = clip_package().model.build_model(torch.load(vit, weights_only=True)).float()
    model.register_buffer("input_resolution", torch.tensor(64))
    inputs = {"encode_image": torch.zeros(1, 3, 64, 64), "encode_text": torch.zeros(1, 77, dtype=torch.long)}
    path = tmp_path / "archive.pt"
    torch.jit.save(torch.jit.trace_module(model, inputs), str(path))
    weights = find_weights(str(path))
    with pytest.raises(CamoeError, match=r"archive\.pt: a TorchScript archive runs code.*torch\.save"):
        load_clip(weights)
    monkeypatch.setitem(PUBLISHED, "ours", f"https://example.org/{weights.sha256}/archive.pt")
    loaded, expected = load_clip(weights).state_dict(), model.state_dict()
    assert all(torch.equal(loaded[name], expected[name]) for name in loaded)


class _Malicious(torch.nn.Module):
    """Writes two files as it is loaded."""

    def __init__(self, target: str, fresh: str) -> None:
        super().__init__()
        self.target, self.fresh = target, fresh
        self.weight = torch.zeros(1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x

    @torch.jit.export
    def __getstate__(self) -> tuple[str, str, bool]:
        return (self.target, self.fresh, self.training)

    @torch.jit.export
    def __setstate__(self, state: tuple[str, str, bool]) -> None:
        self.target, self.fresh = state[0], state[1]
        self.training = state[2]
        self.weight = torch.from_file(state[0], True, 64, dtype=torch.uint8).fill_(88)
        torch.save(self.weight, state[1])


@pytest.mark.filterwarnings("ignore")
def test_a_malicious_archive_writes_nothing(tmp_path: Path) -> None:
    """The archive is a real one: `torch.jit.load` overwrites one file and makes another."""
    target, fresh = tmp_path / "precious.txt", tmp_path / "fresh.sh"
    content = b"precious" * 8
    target.write_bytes(content)
    path = tmp_path / "evil.pt"
    torch.jit.save(torch.jit.script(_Malicious(str(target), str(fresh))), str(path))
    torch.jit.load(str(path))
    assert target.read_bytes() != content
    assert fresh.exists()

    target.write_bytes(content)
    fresh.unlink()
    for name in ("evil.pt", "evil.safetensors", "evil"):
        (tmp_path / name).write_bytes(path.read_bytes())
        with pytest.raises(CamoeError, match="runs code when it is loaded, and this is none of those"):
            ClipEncoder.load(str(tmp_path / name), "cpu", "fp32")
    assert target.read_bytes() == content
    assert not fresh.exists()


class _Command:
    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self) -> tuple[Callable[[str], int], tuple[str]]:
        return os.system, (f"touch {self.marker}",)


@pytest.mark.filterwarnings("ignore")
def test_a_malicious_pickle_runs_nothing(tmp_path: Path) -> None:
    marker = tmp_path / "ran"
    torch.save({"visual.proj": _Command(marker)}, tmp_path / "zip.pt")
    torch.save({"visual.proj": _Command(marker)}, tmp_path / "old.pt", _use_new_zipfile_serialization=False)
    (tmp_path / "plain.pt").write_bytes(pickle.dumps(_Command(marker)))
    for name in ("zip.pt", "old.pt", "plain.pt"):
        with pytest.raises(CamoeError, match="no weights file, or a damaged one"):
            read_state(find_weights(str(tmp_path / name)))
    assert not marker.exists()


def test_what_is_no_clip_is_said_plainly(vit: Path, tmp_path: Path) -> None:
    state = torch.load(vit, weights_only=True)
    (tmp_path / "text.pt").write_text("no weights")
    (tmp_path / "empty.pt").write_bytes(b"")
    torch.save({"weight": torch.zeros(2)}, tmp_path / "other.pt")
    torch.save([torch.zeros(2)], tmp_path / "list.pt")
    torch.save({"visual.proj": torch.zeros(1).expand(1 << 40)}, tmp_path / "endless.pt")
    torch.save(state | {"visual.conv1.weight": torch.zeros(1 << 20, 1, 1, 1)}, tmp_path / "wide.pt")
    torch.save({name: tensor for name, tensor in state.items() if name != "logit_scale"}, tmp_path / "short.pt")
    messages = {
        "text.pt": "it is no weights file, or a damaged one",
        "empty.pt": "it is no weights file, or a damaged one",
        "other.pt": "its tensors are not those of an OpenAI CLIP.*camoe-store import",
        "list.pt": "it does not hold tensors by name",
        "endless.pt": "it declares more numbers than it holds",
        "wide.pt": "its tensors are not those of an OpenAI CLIP",
        "short.pt": "its tensors are not those of an OpenAI CLIP",
    }
    for name, message in messages.items():
        with pytest.raises(CamoeError, match=f"{name}: {message}"):
            ClipEncoder.load(str(tmp_path / name), "cpu")
    with pytest.raises(CamoeError, match="/etc/passwd: it is no weights file"):
        ClipEncoder.load("/etc/passwd", "cpu")


@pytest.mark.soak
def test_mutants_load_or_are_refused(vit: Path, tmp_path: Path, mutants, soak_count) -> None:
    save_file(torch.load(vit, weights_only=True), tmp_path / "vit.safetensors")
    for path in (vit, tmp_path / "vit.safetensors"):
        for number, content in enumerate(mutants(path.read_bytes(), soak_count(10, 500), seed=len(path.name))):
            changed = tmp_path / f"{number}{path.suffix}"
            changed.write_bytes(content)
            with suppress(CamoeError):
                load_clip(find_weights(str(changed)))
            changed.unlink()
