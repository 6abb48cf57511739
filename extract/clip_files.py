"""Reading a CLIP weights file without running any code that it may hold.

State dicts are unpickled with torch's list of allowed types; safetensors hold tensors alone. A TorchScript archive runs
code as it is loaded, so only those that OpenAI published, known by their SHA-256, are.
"""

from __future__ import annotations

import warnings
import zipfile
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ..pipeline.errors import CamoeError
from ..pipeline.unfilled import unfilled
from .clip_parts import PUBLISHED, clip_class
from .clip_weights import Weights

_WANTED = "give OpenAI's archive, a state dict of its architecture (.pt) or safetensors"
_SETTINGS = ("input_resolution", "context_length", "vocab_size")
_SLACK_BYTES = 1 << 20
_LONGEST_CONTEXT = 4096
State = dict[str, Tensor]


def load_clip(weights: Weights) -> Any:
    """OpenAI's model with the file's weights, in float32 and exact; raises `CamoeError` for what is not CLIP's."""
    state = {name: tensor for name, tensor in read_state(weights).items() if name not in _SETTINGS}
    try:
        arguments = _architecture(state)
        model = _empty_model(arguments)
        _check_shapes(state, model)
        _fill(model, state)
    except (RuntimeError, KeyError, IndexError, ValueError, TypeError, ArithmeticError):
        raise CamoeError(
            f"--clip {weights.path}: its tensors are not those of an OpenAI CLIP; {_WANTED}, or bring the features "
            "of another model in by camoe-store import"
        ) from None
    return model.float().eval().requires_grad_(False)


def read_state(weights: Weights) -> State:
    """The tensors of a weights file by name; raises `CamoeError` for a file that holds something else."""
    try:
        state = _read(weights)
    except CamoeError:
        raise
    except Exception:  # torch and safetensors meet damage with errors of many kinds
        raise CamoeError(
            f"--clip {weights.path}: it is no weights file, or a damaged one (nothing in it was run); {_WANTED}"
        ) from None
    if not isinstance(state, dict) or not all(
        isinstance(name, str) and isinstance(tensor, Tensor) for name, tensor in state.items()
    ):
        raise CamoeError(f"--clip {weights.path}: it does not hold tensors by name; {_WANTED}")
    limit = weights.path.stat().st_size + _SLACK_BYTES
    if any(tensor.layout != torch.strided or tensor.nbytes > limit for tensor in state.values()):
        raise CamoeError(f"--clip {weights.path}: it declares more numbers than it holds; {_WANTED}")
    return dict(state)


def _read(weights: Weights) -> Any:
    with open(weights.path, "rb") as stream:
        start = stream.read(9)
    if start[8:] == b"{":
        from safetensors.torch import load_file

        return load_file(weights.path)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        if start.startswith(b"PK") and _is_torchscript(weights.path):
            return _read_torchscript(weights)
        return torch.load(weights.path, map_location="cpu", weights_only=True)


def _is_torchscript(path: Path) -> bool:
    with zipfile.ZipFile(path) as archive:
        return any(Path(name).name == "constants.pkl" or "/code/" in name for name in archive.namelist())


def _read_torchscript(weights: Weights) -> State:
    published = {url.split("/")[-2] for url in PUBLISHED.values()}
    if weights.sha256 not in published:
        raise CamoeError(
            f"--clip {weights.path}: a TorchScript archive runs code when it is loaded, and this is none of those "
            "that OpenAI published; save its state dict where you trust it "
            "(torch.save(torch.jit.load(FILE).state_dict(), 'weights.pt')) and give that"
        )
    state: State = torch.jit.load(str(weights.path), map_location="cpu").state_dict()
    return state


def _architecture(state: State) -> tuple[Any, ...]:
    """The arguments of OpenAI's `CLIP`, from the shapes, as its `build_model` works them out."""
    if "visual.proj" in state:
        width, _, _, patch = state["visual.conv1.weight"].shape
        layers: int | tuple[int, ...] = _count(state, "visual.transformer.resblocks", 3)
        resolution = patch * round((len(state["visual.positional_embedding"]) - 1) ** 0.5)
    else:
        width, patch = len(state["visual.layer1.0.conv1.weight"]), None
        layers = tuple(_count(state, f"visual.layer{stage}", 2) for stage in (1, 2, 3, 4))
        resolution = 32 * round((len(state["visual.attnpool.positional_embedding"]) - 1) ** 0.5)
    text_width, context_length = len(state["ln_final.weight"]), len(state["positional_embedding"])
    if context_length > _LONGEST_CONTEXT:
        raise ValueError("the attention mask would be huge")
    return (
        state["text_projection"].shape[1],
        resolution,
        layers,
        width,
        patch,
        context_length,
        len(state["token_embedding.weight"]),
        text_width,
        text_width // 64,
        _count(state, "transformer.resblocks", 2),
    )


def _empty_model(arguments: tuple[Any, ...]) -> Any:
    """The model without any numbers: drawing random ones, which are thrown away, takes longer than reading the file."""
    with unfilled():
        return clip_class()(*arguments)


def _check_shapes(state: State, model: Any) -> None:
    """Raises `ValueError` unless the model has just these tensors, so that it takes no more memory than they do."""
    if {name: tensor.shape for name, tensor in state.items()} != {
        name: tensor.shape for name, tensor in model.state_dict().items()
    }:
        raise ValueError("other tensors than the model's")


def _fill(model: Any, state: State) -> None:
    """The file's tensors become the model's, without a copy where they are float32; the mask, which is no parameter
    and in no file, is made anew."""
    kinds = {name: tensor.dtype for name, tensor in model.state_dict().items()}
    model.load_state_dict(
        {name: tensor.to(kinds[name]).contiguous() for name, tensor in state.items()}, strict=True, assign=True
    )
    mask = model.build_attention_mask()
    for block in model.transformer.resblocks:
        block.attn_mask = mask


def _count(state: State, prefix: str, part: int) -> int:
    """How many numbered blocks there are below a name, the number being its `part`-th word."""
    return len({name.split(".")[part] for name in state if name.startswith(prefix + ".")})
