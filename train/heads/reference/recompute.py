"""Recorded cases computed anew by our heads: which case is which head's, and what of ours each output is.

Inputs come as float64 leaves, so that gradients can be taken of what a function returns.
"""

from __future__ import annotations

import torch
from torch.nn import functional as F

from ...aggregators import masked_mean
from ...losses import cross_entropy_loss
from ...words import with_words
from ..cdcr import Tokens, channel_loss, correlated, decorrelation
from ..emcl import Moments
from ..tmass import TMass
from . import build
from .cases import Case, Computed

LEAK = "the published evaluation pools a video by its own caption"
ACCIDENT = "an accident of the published code"


def query_scoring(case: Case) -> Computed:
    text, frames = case.input["text"], case.input["frames"]
    outputs = {
        name: _score(build.query_scoring(case, temperature), text, frames)
        for name, temperature in (("similarity", case.number("temperature")), ("similarity_temperature_1", 1.0))
    }
    outputs["similarity_mean_pooling"] = _cosines(text, frames.mean(dim=1))
    return Computed(outputs, "similarity", {"similarity_mean_scores_as_published": ACCIDENT})


def xpool(case: Case) -> Computed:
    model, text, frames = build.xpool(case), case.input["text"], case.input["frames"]
    pooled = model.pool(text, model.encode_videos(frames, _all(frames)).squeeze(0), _all(frames))
    similarity = _score(model, text, frames)
    outputs = {"pooled_frames": pooled.transpose(0, 1), "similarity": similarity}
    if "video_of_text" in case.input:
        outputs["similarity_inference_padded"] = _by_owner(similarity, case.input["video_of_text"])
    return Computed(outputs, "similarity")


def _by_owner(similarity: torch.Tensor, owner: torch.Tensor) -> torch.Tensor:
    """`(M, N)` -> `(owners, most captions of one, N)`, NaN where an owner has fewer."""
    groups = [(owner == video).nonzero().squeeze(1) for video in owner.unique()]
    grouped = similarity.new_full((len(groups), max(map(len, groups)), similarity.shape[1]), torch.nan)
    for place, rows in enumerate(groups):
        grouped[place, : len(rows)] = similarity[rows]
    return grouped


def xpool_baselines(case: Case) -> Computed:
    text, frames = case.input["text_normalised"], case.input["frames_normalised"]
    dot = torch.einsum("md,ntd->nmt", text, frames)
    best = dot.topk(case.whole("k"), dim=-1).indices
    attention = (dot / case.number("attention_temperature")).softmax(dim=-1)
    pooled = {
        "topk": torch.zeros_like(dot).scatter(-1, best, 1.0) @ frames,
        "attention": attention @ frames,
    }
    outputs = {"pooled_avg": frames.mean(dim=1), "similarity_avg": _dots(text, F.normalize(frames.mean(dim=1), dim=-1))}
    for name, videos in pooled.items():
        outputs[f"pooled_{name}"] = videos
        outputs[f"similarity_{name}"] = torch.einsum("md,nmd->mn", text, F.normalize(videos, dim=-1))
    return Computed(outputs, "similarity_attention")


def clip_loss(case: Case) -> Computed:
    return Computed({"loss": cross_entropy_loss(case.input["similarity"] * _scale(case))}, "loss")


def ti(case: Case) -> Computed:
    return Computed({"similarity": _word_score(build.ti(case), case)}, "similarity")


def wti(case: Case) -> Computed:
    model = build.wti(case)
    outputs = {
        "similarity": _word_score(model, case),
        "text_weight": model.word_shares(case.input["words"], case.mask("text_mask")),
        "video_weight": model.frame_shares(case.input["frames"], case.mask("video_mask")),
    }
    return Computed(outputs, "similarity")


def cdcr_wti(case: Case) -> Computed:
    """DRL's decorrelation of words and frames, in the way that `param/cdcr` says."""
    model = build.wti(case)
    words, frames = case.input["words"], case.input["frames"]
    text_mask, video_mask = case.mask("text_mask"), case.mask("video_mask")
    word = _tokens(words, model.word_shares(words, text_mask), text_mask)
    frame = _tokens(frames, model.frame_shares(frames, video_mask), video_mask)
    alphas = {"alpha1": case.number("cdcr_alpha1"), "alpha2": case.number("cdcr_alpha2")}
    kind = case.whole("cdcr")
    if kind == 1:
        drawn = [
            side.values[torch.arange(len(side.mask)), case.input[f"random_{name}_integer"] % side.mask.sum(dim=1)]
            for name, side in (("word", word), ("frame", frame))
        ]
        loss = channel_loss(correlated(*drawn) / len(words), **alphas)
    else:
        loss = decorrelation(word, frame, weighted=kind == 3, padding="published", **alphas)
    return Computed({"similarity_times_logit_scale": _word_score(model, case), "cdcr_loss": loss}, "cdcr_loss")


def cdcr_dp(case: Case) -> Computed:
    """The same of sentence and video vectors."""
    sentence, video = _dot_product_sides(case)
    correlation = correlated(sentence, video) / len(sentence)
    loss = channel_loss(correlation, alpha1=case.number("cdcr_alpha1"), alpha2=case.number("cdcr_alpha2"))
    similarity = _scale(case) * _dots(sentence, video)
    return Computed({"similarity_times_logit_scale": similarity, "cdcr_loss": loss}, "cdcr_loss")


def drl_dp(case: Case) -> Computed:
    sentence, _ = _dot_product_sides(case)
    frames = F.normalize(case.input["frames"], dim=-1) * case.mask("video_mask").unsqueeze(-1)
    similarity = build.meanp().similarity(sentence[None], frames, case.mask("video_mask"))[0]
    return Computed({"similarity": similarity}, "similarity")


def _dot_product_sides(case: Case) -> tuple[torch.Tensor, torch.Tensor]:
    """DRL's sentence, the last valid word, and its video, the mean of the normalised frames; both normalised."""
    words, mask = case.input["words"], case.mask("text_mask")
    sentence = words[torch.arange(len(words)), mask.sum(dim=1) - 1]
    frames = F.normalize(case.input["frames"], dim=-1)
    return F.normalize(sentence, dim=-1), F.normalize(masked_mean(frames, case.mask("video_mask")), dim=-1)


def drl_seqtransf(case: Case) -> Computed:
    encoded = build.seqtransf(case).encode_frames(case.input["frames"], case.mask("video_mask"))
    return Computed({"frames": encoded}, "frames")


def xclip(case: Case) -> Computed:
    model, mask = build.xclip(case), case.mask("video_mask")
    texts = model.encode_texts(_texts_with_words(case))
    videos = model.encode_videos(case.input["frames"], mask)
    terms = model.terms(texts[0], videos[0], mask)
    names = ("sentence_video", "sentence_frame", "word_video", "word_frame")
    outputs = {f"term_{name}": term for name, term in zip(names, terms, strict=True)}
    main = "similarity_times_logit_scale"
    return Computed(outputs | {main: model.compare(texts, videos, mask)[0]}, main)


def tmass_train(case: Case) -> Computed:
    model, text, frames = build.tmass(case), case.input["text"][None], case.input["frames"]
    videos = model.encode_videos(frames, _all(frames))
    radius = model.own_radius(text, videos)
    drawn = text + case.input["noise"] * radius
    support = model.support_texts(text, videos, _all(frames), None)
    with_draw, with_support, without = (
        model.cosines(text, matched, videos, _all(frames), None)[0] for matched in (drawn, support, text)
    )
    main, other = (cross_entropy_loss(_scale(case) * sim) for sim in (with_draw, with_support))
    outputs = {
        "text_stochastic": drawn[0],
        "log_radius": radius[0].log(),
        "radius": radius[0],
        "pooled_frames": _pooled(model, text[0], frames).transpose(0, 1),
        "similarity": with_draw,
        "similarity_without_sampling": without,
        "text_support": support[0],
        "similarity_support": with_support,
        "loss_main": main,
        "loss_support": other,
        "loss_total": main + case.number("support_loss_weight") * other,
    }
    return Computed(outputs, "similarity")


def tmass_eval(case: Case) -> Computed:
    model, text, frames = build.tmass(case), case.input["text"], case.input["frames"]
    videos = model.encode_videos(frames, _all(frames)).squeeze(0)
    pooled = _pooled(model, text, frames)
    noise = case.input["noise"].permute(2, 0, 1, 3)  # video, trial, text, D -> text, video, trial, D
    trials = model.trial_cosines(text, pooled, videos, noise)
    outputs = {
        "cosine_per_video_trial_text": trials.permute(1, 2, 0),
        "similarity_text_conditioned_best_trial": trials.amax(dim=-1),
        "similarity_without_sampling": model.match(text, pooled, videos, _all(frames)),
    }
    return Computed(outputs, "similarity_text_conditioned_best_trial", {"similarity_as_published_eval": LEAK})


def _pooled(model: TMass, text: torch.Tensor, frames: torch.Tensor) -> torch.Tensor:
    return model.pool(text, model.encode_videos(frames, _all(frames)).squeeze(0), _all(frames))


def dicosa(case: Case) -> Computed:
    model, text, frames, mask = build.dicosa(case), case.input["text"], case.input["frames"], case.mask("video_mask")
    outputs = {"similarity": _score(model, text, frames, mask)}
    if "decorrelation_loss" not in case.output:
        return Computed(outputs, "similarity")
    pooled = model.pool(text, frames, mask)
    own = pooled[torch.arange(len(text)), torch.arange(len(text))]
    outputs["decorrelation_loss"] = model.decorrelation(
        text,
        own,
        alpha=case.number("alpha"),
        beta=case.number("beta"),
        divisor=case.whole("number_of_words_used_as_divisor"),
    )
    return Computed(outputs, "decorrelation_loss")


def afa(case: Case) -> Computed:
    model, text, mask = build.afa(case), case.input["text"], case.mask("video_mask")
    encoded = model.encode_frames(case.input["frames"], mask)
    meanp = build.meanp().similarity(F.normalize(text, dim=-1)[None], F.normalize(encoded, dim=-1), mask)[0]
    outputs = {
        "similarity_times_logit_scale": _score(model, text, case.input["frames"], mask),
        "frame_weight_softmax_without_temperature": model.frame_logits(encoded).softmax(dim=-1).unsqueeze(-1),
        "similarity_mean_pooling_times_logit_scale": _scale(case) * meanp,
        "video_embedding_get_video_output": model.pool(encoded, mask),
        "frames_after_temporal_encoder": encoded,
    }
    return Computed(outputs, "similarity_times_logit_scale")


def emcl(case: Case) -> Computed:
    model = build.emcl(case)
    spread = model.fit(Moments.of(case.input["embeddings"]))
    outputs = {"embeddings": spread(case.input["embeddings"]), "bases_after_momentum_update": model.bases.clone()}
    return Computed(outputs, "embeddings")


def emcl_net(case: Case) -> Computed:
    """EMCL over all texts and all videos as DiCoSA pools them."""
    text, frames, mask = case.input["text"], case.input["frames"], case.mask("video_mask")
    shares = (torch.einsum("md,ntd->mnt", text, frames) / case.number("temp")).softmax(dim=-1) * mask
    pooled = torch.einsum("mnt,ntd->mnd", shares, frames)
    spread = build.emcl(case).fit(Moments.of(pooled.flatten(0, 1)) + Moments.of(text))
    similarity = F.cosine_similarity(spread(text).unsqueeze(1), spread(pooled), dim=-1)
    return Computed({"similarity": similarity}, "similarity")


def meanp(case: Case) -> Computed:
    mask = case.mask("video_mask")
    frames = F.normalize(case.input["frames"], dim=-1) * mask.unsqueeze(-1)
    similarity = build.meanp().similarity(F.normalize(case.input["text"], dim=-1)[None], frames, mask)[0]
    main = "similarity_times_logit_scale"
    return Computed({main: _scale(case) * similarity}, main)


def seqtransf(case: Case) -> Computed:
    model, mask = build.seqtransf(case), case.mask("video_mask")
    encoded = model.encode_frames(case.input["frames"], mask)
    main = "similarity_times_logit_scale"
    outputs = {
        "frames_after_transformer_before_residual": encoded - case.input["frames"],
        main: _score(model, case.input["text"], case.input["frames"], mask),
    }
    return Computed(outputs, main)


def masked_means(case: Case) -> Computed:
    """CLIP4Clip's means of what is there: frames, and words but the first."""
    later = case.mask("text_mask").clone()
    later[:, 0] = False
    outputs = {
        "video_mean": masked_mean(case.input["frames"], case.mask("video_mask")),
        "text_mean_without_first_token": masked_mean(case.input["words"], later),
    }
    return Computed(outputs, "video_mean")


def clip4clip_loss(case: Case) -> Computed:
    return Computed({"loss": cross_entropy_loss(case.input["similarity_times_logit_scale"])}, "loss")


def _score(
    model: build.Scorer, text: torch.Tensor, frames: torch.Tensor, mask: torch.Tensor | None = None
) -> torch.Tensor:
    return model.similarity(text[None], frames, _all(frames) if mask is None else mask)[0]


def _word_score(model: build.Scorer, case: Case) -> torch.Tensor:
    return _score(model, _texts_with_words(case)[0], case.input["frames"], case.mask("video_mask"))


def _texts_with_words(case: Case) -> torch.Tensor:
    words = case.input["words"]
    return with_words(case.input.get("text", words[:, 0])[None], words, case.mask("text_mask"))


def _tokens(values: torch.Tensor, shares: torch.Tensor, mask: torch.Tensor) -> Tokens:
    return Tokens(F.normalize(values, dim=-1), shares, mask)


def _all(frames: torch.Tensor) -> torch.Tensor:
    return torch.ones(frames.shape[:2], dtype=torch.bool)


def _scale(case: Case) -> torch.Tensor:
    return case.param["logit_scale_log"].double().exp()


def _cosines(texts: torch.Tensor, videos: torch.Tensor) -> torch.Tensor:
    return _dots(F.normalize(texts, dim=-1), F.normalize(videos, dim=-1))


def _dots(texts: torch.Tensor, videos: torch.Tensor) -> torch.Tensor:
    return texts @ videos.T
