"""CLIP's forward passes written for speed on a CPU: the modules, weights and results of `clip.model`, batch first, in
whatever precision is asked, and with text tokens at given positions."""

from __future__ import annotations

import torch
from clip.model import CLIP, ResidualAttentionBlock
from torch import Tensor, nn
from torch.nn import functional

HEAD_WIDTH = 64


def encode_pictures(network: CLIP, pictures: Tensor, dtype: torch.dtype) -> Tensor:
    """Picture embeddings (B, D) of normalised pixels (B, 3, H, W)."""
    visual, rows = network.visual, len(pictures)
    kernel = visual.conv1.weight
    size = kernel.shape[-1]
    patches = functional.unfold(pictures, size, stride=size).transpose(1, 2).to(dtype)
    tokens = functional.linear(patches, kernel.flatten(1).to(dtype))
    start = visual.class_embedding.to(dtype).expand(rows, 1, -1)
    hidden = torch.cat([start, tokens], dim=1) + visual.positional_embedding.to(dtype)
    hidden = _normalise(visual.ln_pre, hidden)
    for block in visual.transformer.resblocks:
        hidden = _block(block, hidden, causal=False)
    return _normalise(visual.ln_post, hidden[:, 0]) @ visual.proj.to(dtype)


def encode_kept(network: CLIP, ids: Tensor, positions: Tensor, dtype: torch.dtype) -> Tensor:
    """Text embeddings (B, D) of token ids at their original positions, both (B, L), 0 past the end token, whose id
    is the highest of all."""
    hidden = (network.token_embedding(ids) + network.positional_embedding[positions]).to(dtype)
    for block in network.transformer.resblocks:
        hidden = _block(block, hidden, causal=True)
    last = hidden[torch.arange(len(ids)), ids.argmax(dim=1)]
    return _normalise(network.ln_final, last) @ network.text_projection.to(dtype)


def _block(block: ResidualAttentionBlock, hidden: Tensor, *, causal: bool) -> Tensor:
    rows, length, width = hidden.shape
    attention, mlp = block.attn, block.mlp
    joint = _linear(_normalise(block.ln_1, hidden), attention.in_proj_weight, attention.in_proj_bias)
    query, key, value = joint.view(rows, length, 3, width // HEAD_WIDTH, HEAD_WIDTH).permute(2, 0, 3, 1, 4)
    # in float32, since PyTorch's bfloat16 attention is slow backwards on a CPU
    mixed = functional.scaled_dot_product_attention(query.float(), key.float(), value.float(), is_causal=causal)
    mixed = mixed.transpose(1, 2).reshape(rows, length, width).to(hidden.dtype)
    hidden = hidden + _linear(mixed, attention.out_proj.weight, attention.out_proj.bias)
    inner = _linear(_normalise(block.ln_2, hidden), mlp.c_fc.weight * 1.702, mlp.c_fc.bias * 1.702)
    # x * sigmoid(1.702 x), CLIP's QuickGELU, is silu(1.702 x) / 1.702
    return hidden + _linear(functional.silu(inner), mlp.c_proj.weight / 1.702, mlp.c_proj.bias)


def _linear(hidden: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    return functional.linear(hidden, weight.to(hidden.dtype), bias.to(hidden.dtype))


def _normalise(norm: nn.LayerNorm, hidden: Tensor) -> Tensor:
    weight, bias = norm.weight.to(hidden.dtype), norm.bias.to(hidden.dtype)
    return functional.layer_norm(hidden, norm.normalized_shape, weight, bias, norm.eps)
