"""Our heads with the weights and the sizes of a recorded case."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, TypeVar

import torch
from torch import nn
from torch.nn import functional as F

from ...experts import Experts
from ...gate import GATES
from ...scorer import ExpertScorer, Scorer
from ..afa import AFA
from ..dicosa import DiCoSA
from ..emcl import Emcl
from ..query_scoring import QueryScoring
from ..seqtransf import SeqTransf
from ..ti import TokenInteraction
from ..tmass import TMass
from ..wti import WeightedTokenInteraction
from ..xclip import XCLIP
from ..xpool import XPool
from .cases import Case

PUBLISHED: dict[str, Any] = {"padding": "published"}
POSITIONS = "frame_position_embeddings.weight"
_TMASS_NAMES = {"pool_frames.": "", "stochastic.std_branch.linear_proj.": "radius_proj."}
_FRAME_MATRICES = ("frame_logit_weight", "frame_mat_weight", "frame_mat_weight2")
_UNUSED = ("stochastic.std_branch.learnable_scalar",)
AnyScorer = TypeVar("AnyScorer", bound=Scorer)


def query_scoring(case: Case, temperature: float) -> QueryScoring:
    """With `param/eps`."""
    return _loaded(QueryScoring(**_text_side(), **PUBLISHED, temperature=temperature, epsilon=case.number("eps")), case)


def xpool(case: Case) -> XPool:
    """With `param/num_mha_heads`."""
    model = XPool(**_text_side(), **PUBLISHED, embed_dim=_width(case), heads=case.whole("num_mha_heads"))
    return _loaded(model, case)


def tmass(case: Case) -> TMass:
    """With as many frames as its radius takes."""
    names = {name: _renamed(name) for name in case.weights if name not in _UNUSED}
    frames = case.weights["stochastic.std_branch.linear_proj.weight"].shape[1]
    model = TMass(**_text_side(), **PUBLISHED, embed_dim=_width(case), max_frames=frames, trials=0)
    return _loaded(model, case, {ours: case.weights[name] for name, ours in names.items()})


def _renamed(name: str) -> str:
    for theirs, ours in _TMASS_NAMES.items():
        if name.startswith(theirs):
            return ours + name.removeprefix(theirs)
    return name


def dicosa(case: Case) -> DiCoSA:
    """With `param/center` blocks at `param/temp`."""
    options: dict[str, Any] = {"centers": case.whole("center"), "temperature": case.number("temp")}
    return _loaded(DiCoSA(**_text_side(), **PUBLISHED, **_temporal(case), **options), case)


def seqtransf(case: Case) -> SeqTransf:
    """With `param/heads`, and layers and positions of the weights."""
    return _loaded(SeqTransf(**_text_side(), **_temporal(case)), case)


def afa(case: Case) -> AFA:
    """With `param/afa_temperature`."""
    model = AFA(**_text_side(), **PUBLISHED, **_temporal(case), temperature=case.number("afa_temperature"))
    return _loaded(model, case)


def ti(case: Case) -> TokenInteraction:
    """Without weights."""
    return _loaded(TokenInteraction(**_text_side(), **PUBLISHED, **_temporal(case)), case)


def wti(case: Case) -> WeightedTokenInteraction:
    """With weight layers as deep as the weights."""
    depth = sum(name.startswith("text_weight_fc") and name.endswith("weight") for name in case.weights)
    return _loaded(WeightedTokenInteraction(**_text_side(), **PUBLISHED, **_temporal(case), depth=depth), case)


def xclip(case: Case) -> XCLIP:
    """With `param/attention_temperature`; its matrices may have fewer frames than there are positions."""
    sizes = _temporal(case) | {"max_words": len(case.weights["word_logit_weight"])}
    beyond = max(0, sizes["max_frames"] - len(case.weights["frame_logit_weight"]))
    weights = {
        name: F.pad(value, (0, beyond, 0, beyond)) if name in _FRAME_MATRICES else value
        for name, value in case.weights.items()
    }
    model = XCLIP(**_text_side(), **PUBLISHED, **sizes, temperature=case.number("attention_temperature"))
    return _loaded(model, case, weights)


def meanp() -> Scorer:
    """CLIP4Clip's meanP takes frames and texts normalised."""
    experts = Experts(["mean"], embed_dim=1, max_frames=1, projection=False)
    return ExpertScorer(experts, GATES["none"](streams=1, experts=1, embed_dim=1, fusion=None), **_text_side()).double()


def emcl(case: Case) -> Emcl:
    """With `param/stage_num`, `beta`, `lamd` and, where it is there, `momentum`; begun as the case was."""
    options: dict[str, Any] = {name: case.number(name) for name in ("beta", "lamd", "momentum") if name in case.param}
    model = Emcl(case.whole("k"), stages=case.whole("stage_num"), **options)
    model.bases = case.input["initial_bases"].clone()
    return model


def _width(case: Case) -> int:
    return case.input["frames"].shape[-1]


def _temporal(case: Case) -> dict[str, Any]:
    """What `SeqTransf` is made with; without its weights there are no layers."""
    layers = {name.split(".")[2] for name in case.weights if name.startswith("transformerClip.resblocks.")}
    frames = case.weights[POSITIONS].shape[0] if layers else case.input["frames"].shape[1]
    heads = {"heads": case.whole("heads")} if layers else {}
    return {"embed_dim": _width(case), "max_frames": frames, "layers": len(layers), **heads}


def _text_side() -> dict[str, Any]:
    return {"text_heads": [nn.Identity()], "weights": [1.0], "logit_scale": 1.0}


def _loaded(model: AnyScorer, case: Case, weights: Mapping[str, torch.Tensor] | None = None) -> AnyScorer:
    """The model with the case's weights in float64, all of them; raises `ValueError` where they do not fit."""
    state = dict(case.weights if weights is None else weights)
    model.double()
    lacks, surplus = model.load_state_dict(state, strict=False)
    lacks = [name for name in lacks if name not in ("logit_scale", "weights")]
    if lacks or surplus:
        raise ValueError(f"weights lack {lacks[0]}" if lacks else f"weights hold {surplus[0]}, which ours has not")
    scale = case.number("logit_scale_log") if "logit_scale_log" in case.param else math.log(1.0)
    model.logit_scale.data = torch.tensor(scale, dtype=torch.float64)
    if "layer_norm_eps" in case.param:
        for norm in [module for module in model.modules() if isinstance(module, nn.LayerNorm)]:
            norm.eps = case.number("layer_norm_eps")
    return model
