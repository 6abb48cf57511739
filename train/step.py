"""One step's loss and gradients: a batch of videos, their captions, and the contrastive loss of the whole batch."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

import torch

from .data import Features
from .losses import LOSSES
from .recipe import LossSettings, StepSettings
from .scorer import Dropout, Scorer


def batch_loss(
    model: Scorer, features: Features, captions: torch.Tensor, step: StepSettings, dropout: Dropout | None = None
) -> torch.Tensor:
    """`Σ_s w_s L(sim_s)` of the rows `captions (B,)`, no two of one video, or `(K, B)`: `K` captions of each video."""
    captions = captions.view(-1, captions.shape[-1])
    texts = _encode_texts(model, features, step.precision, dropout, slice(None), captions)
    videos = _encode_videos(model, features, step.precision, dropout, slice(None), captions)
    return _weighted(model, stream_losses(model, features, captions, texts, videos, step.loss, dropout))


def backward(
    model: Scorer, features: Features, captions: torch.Tensor, step: StepSettings, dropout: Dropout | None = None
) -> torch.Tensor:
    """Add the gradients of `batch_loss` to the parameters; returns the streams' losses `(S,)`.

    With `accumulate` over 1 the batch is encoded in that many parts, first without gradients; the loss of the whole
    batch gives the gradients of all embeddings; then each part is encoded again and takes its share (GradCache,
    arXiv 2101.06983). The negatives, the loss and the gradients are those of the whole batch, the memory a part's.
    """
    texts_of = partial(_encode_texts, model, features, step.precision, dropout)
    videos_of = partial(_encode_videos, model, features, step.precision, dropout)
    if step.accumulate == 1:
        whole = slice(None)
        encoded = texts_of(whole, captions), videos_of(whole, captions)
        losses = stream_losses(model, features, captions, *encoded, step.loss, dropout)
        _weighted(model, losses).backward()
        return losses.detach()
    text_parts = [partial(texts_of, part, captions) for part in _parts(captions.numel(), step.accumulate)]
    video_parts = [partial(videos_of, part, captions) for part in _parts(captions.shape[1], step.accumulate)]
    texts, videos = _cached(text_parts), _cached(video_parts)
    joined = torch.cat(texts, dim=1), torch.cat(videos, dim=1)
    losses = stream_losses(model, features, captions, *joined, step.loss, dropout)
    _weighted(model, losses).backward()
    for encode, cached in zip(text_parts + video_parts, texts + videos, strict=True):
        again = encode()
        if again.requires_grad:
            again.backward(cached.grad)
    return losses.detach()


def stream_losses(
    model: Scorer,
    features: Features,
    captions: torch.Tensor,
    texts: torch.Tensor,
    videos: torch.Tensor,
    loss: LossSettings,
    dropout: Dropout | None = None,
) -> torch.Tensor:
    """`L(sim_s)` for each stream `(S,)`, the mean over the `K` captions; `captions (K, B)`, embeddings of all.

    Where the model has a further loss of its own, that is added by its weight.
    """
    size, batch = captions.shape
    mask = features.mask[features.video_of_caption[captions[0]]]
    same_text = None if loss.duplicate_text == "negative" else features.same_text(captions)

    def loss_of(sim: torch.Tensor) -> torch.Tensor:
        return caption_losses(sim.view(-1, size, batch, batch), loss, same_text)

    losses = loss_of(model.compare(texts, videos, mask, dropout))
    if loss.own_weight:
        losses = losses + loss.own_weight * model.own_loss(texts, videos, mask, dropout, loss_of)
    return losses


def caption_losses(sim: torch.Tensor, loss: LossSettings, same_text: torch.Tensor | None) -> torch.Tensor:
    """The configured loss, the mean over a video's `K` captions: `sim (…, K, B, B) -> (…)`."""
    losses: torch.Tensor = LOSSES[loss.name](
        sim,
        loss.temperature,
        same_text=same_text,
        duplicate_text=loss.duplicate_text,
        stop_gradient_prior=loss.stop_gradient_prior,
    )
    return losses.mean(dim=-1)


def _weighted(model: Scorer, losses: torch.Tensor) -> torch.Tensor:
    return losses @ model.weights.to(losses.dtype)


def _parts(count: int, parts: int) -> list[slice]:
    size = -(-count // parts)
    return [slice(start, start + size) for start in range(0, count, size)]


def _cached(encoders: Sequence[Callable[[], torch.Tensor]]) -> list[torch.Tensor]:
    """Embeddings as leaves: they collect a gradient, and nothing of how they were made is kept."""
    with torch.no_grad():
        return [encode().requires_grad_() for encode in encoders]


def _encode_texts(
    model: Scorer,
    features: Features,
    precision: str,
    dropout: Dropout | None,
    part: slice,
    captions: torch.Tensor,
) -> torch.Tensor:
    texts = features.texts_of(captions.flatten()[part])
    kept = None if dropout is None else dropout.part(part, slice(None))
    with in_precision(features.device, precision):
        return at_least_float32(model.encode_texts(texts, kept))


def _encode_videos(
    model: Scorer,
    features: Features,
    precision: str,
    dropout: Dropout | None,
    part: slice,
    captions: torch.Tensor,
) -> torch.Tensor:
    rows = features.video_of_caption[captions[0, part]]
    kept = None if dropout is None else dropout.part(slice(None), part)
    with in_precision(features.device, precision):
        return at_least_float32(model.encode_videos(features.frames_of(rows), features.mask[rows], kept))


def in_precision(device: torch.device, precision: str) -> torch.autocast:
    """`bf16` for the products of the encoders; residuals, norms, similarity and loss stay in float32."""
    return torch.autocast(device.type, torch.bfloat16, enabled=precision == "bf16")


def at_least_float32(embedding: torch.Tensor) -> torch.Tensor:
    """What similarity and loss are computed from."""
    return embedding.float() if embedding.dtype == torch.bfloat16 else embedding
