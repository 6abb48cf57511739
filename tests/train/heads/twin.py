"""Recorded cases as another hand would make them: plain numpy, sizes of one's own, gradients by differences."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

Arrays = dict[str, np.ndarray]
TEXTS, VIDEOS, WORDS, FRAMES, WIDTH = 4, 3, 5, 4, 12


def unit(values: np.ndarray) -> np.ndarray:
    return values / np.linalg.norm(values, axis=-1, keepdims=True)


def softmax(values: np.ndarray, axis: int = -1) -> np.ndarray:
    raised = np.exp(values - values.max(axis=axis, keepdims=True))
    return raised / raised.sum(axis=axis, keepdims=True)


def linear(values: np.ndarray, weights: Arrays, name: str) -> np.ndarray:
    return values @ weights[f"{name}.weight"].T + weights[f"{name}.bias"]


def norm(values: np.ndarray, weights: Arrays, name: str, epsilon: float) -> np.ndarray:
    centred = values - values.mean(-1, keepdims=True)
    scaled = centred / np.sqrt(centred.var(-1, keepdims=True) + epsilon)
    return scaled * weights[f"{name}.weight"] + weights[f"{name}.bias"]


def cross_entropy(sim: np.ndarray) -> float:
    return float(-(np.log(softmax(sim, 1).diagonal()) + np.log(softmax(sim, 0).diagonal())).mean() / 2)


def gradient(total: Callable[[np.ndarray], float], at: np.ndarray, step: float = 1e-5) -> np.ndarray:
    """Of `total` at an array, by central differences."""
    found, point = np.zeros_like(at), at.copy()
    for place in np.ndindex(at.shape):
        before = point[place]
        point[place] = before + step
        above = total(point)
        point[place] = before - step
        found[place] = (above - total(point)) / (2 * step)
        point[place] = before
    return found


class Recorder:
    """Draws inputs and weights, and collects what a file of cases holds."""

    def __init__(self, seed: int = 0) -> None:
        self.draw = np.random.default_rng(seed)
        self.arrays: Arrays = {}

    def normal(self, *shape: int) -> np.ndarray:
        return self.draw.normal(size=shape)

    def mask(self, rows: int, columns: int) -> np.ndarray:
        return (np.arange(columns) < self.draw.integers(1, columns + 1, rows)[:, None]).astype(np.int64)

    def layers(self, *named: tuple[str, int, int]) -> Arrays:
        """Weights and biases of linear layers `(name, out, in)`."""
        found = {}
        for name, out, wide in named:
            found[f"{name}.weight"] = 0.5 * self.normal(out, wide)
            found[f"{name}.bias"] = 0.1 * self.normal(out)
        return found

    def norms(self, *names: str, width: int = WIDTH) -> Arrays:
        found = {}
        for name in names:
            found[f"{name}.weight"], found[f"{name}.bias"] = 1 + 0.1 * self.normal(width), 0.1 * self.normal(width)
        return found

    def add(self, case: str, **groups: dict[str, Any]) -> None:
        for group, values in groups.items():
            for name, value in values.items():
                self.arrays[f"{case}/{group}/{name}"] = np.asarray(value)

    def add_gradients(
        self, case: str, inputs: Arrays, of: Callable[[Arrays], np.ndarray], *names: str, group: str = "grad"
    ) -> None:
        """The gradient of the sum of `of(inputs)` by each input named."""
        for name in names:

            def total(values: np.ndarray, name: str = name) -> float:
                return float(np.sum(of(inputs | {name: values})))

            self.arrays[f"{case}/{group}/{name}"] = gradient(total, inputs[name])


def record(seed: int = 0) -> Arrays:
    """A file of cases of all heads."""
    recorder = Recorder(seed)
    for family in (query_scoring, xpool, tmass, dicosa, token_interaction, xclip, temporal, emcl):
        family(recorder)
    return recorder.arrays


def query_scoring(recorder: Recorder) -> None:
    inputs = {"text": recorder.normal(TEXTS, WIDTH), "frames": recorder.normal(VIDEOS, FRAMES, WIDTH)}

    def similarity(of: Arrays, temperature: float = 0.25) -> np.ndarray:
        cosine = np.einsum("md,ntd->mnt", unit(of["text"]), unit(of["frames"]))
        pooled = np.einsum("mnt,ntd->mnd", softmax(cosine / temperature), of["frames"])
        return np.einsum("md,mnd->mn", unit(of["text"]), unit(pooled))

    outputs = {"similarity": similarity(inputs), "similarity_temperature_1": similarity(inputs, 1.0)}
    outputs["similarity_mean_pooling"] = unit(inputs["text"]) @ unit(inputs["frames"].mean(1)).T
    recorder.add("query_scoring", input=inputs, param={"temperature": 0.25, "eps": 1e-8}, output=outputs)
    recorder.add_gradients("query_scoring", inputs, similarity, "text", "frames")


def _pooling_weights(recorder: Recorder) -> Arrays:
    names = ("cross_attn.q_proj", "cross_attn.k_proj", "cross_attn.v_proj", "cross_attn.out_proj", "linear_proj")
    layers = recorder.layers(*[(name, WIDTH, WIDTH) for name in names])
    return layers | recorder.norms("layer_norm1", "layer_norm2", "layer_norm3")


def pooled_by_text(text: np.ndarray, frames: np.ndarray, weights: Arrays, heads: int = 1) -> np.ndarray:
    """X-Pool's `(videos, texts, D)`."""
    normed_text, normed = (norm(side, weights, "layer_norm1", 1e-5) for side in (text, frames))
    width = text.shape[-1] // heads
    query = linear(normed_text, weights, "cross_attn.q_proj").reshape(len(text), heads, width)
    key, value = (
        linear(normed, weights, f"cross_attn.{name}_proj").reshape(*frames.shape[:2], heads, width) for name in "kv"
    )
    shares = softmax(np.einsum("mhd,nthd->nmht", query, key) / np.sqrt(width))
    mixed = np.einsum("nmht,nthd->nmhd", shares, value).reshape(len(frames), len(text), -1)
    out = norm(linear(mixed, weights, "cross_attn.out_proj"), weights, "layer_norm2", 1e-5)
    return norm(out + linear(out, weights, "linear_proj"), weights, "layer_norm3", 1e-5)


def xpool(recorder: Recorder) -> None:
    inputs = {"text": recorder.normal(TEXTS, WIDTH), "frames": recorder.normal(VIDEOS, FRAMES, WIDTH)}
    weights, owner = _pooling_weights(recorder), np.array([0, 1, 1, 2])

    def similarity(of: Arrays) -> np.ndarray:
        return np.einsum("md,nmd->mn", unit(of["text"]), unit(pooled_by_text(of["text"], of["frames"], weights, 3)))

    sim = similarity(inputs)
    padded = np.full((VIDEOS, 2, VIDEOS), np.nan)
    for video in range(VIDEOS):
        padded[video, : (owner == video).sum()] = sim[owner == video]
    recorder.add(
        "xpool_heads3",
        input=inputs | {"video_of_text": owner},
        weights=weights,
        param={"num_mha_heads": 3, "layer_norm_eps": 1e-5},
        output={
            "similarity": sim,
            "pooled_frames": pooled_by_text(inputs["text"], inputs["frames"], weights, 3),
            "similarity_inference_padded": padded,
        },
    )
    recorder.add_gradients("xpool_heads3", inputs, similarity, "text", "frames")


def tmass(recorder: Recorder) -> None:
    plain = _pooling_weights(recorder)
    radius_layer = recorder.layers(("stochastic.std_branch.linear_proj", WIDTH, FRAMES))
    weights = {f"pool_frames.{name}": value for name, value in plain.items()} | radius_layer
    weights["stochastic.std_branch.learnable_scalar"] = recorder.normal(1)

    def radius(text: np.ndarray, frames: np.ndarray) -> np.ndarray:
        """`(…, D)` of texts and frames that go together."""
        cosine = np.einsum("...d,...td->...t", unit(text), unit(frames))
        return np.exp(linear(cosine, radius_layer, "stochastic.std_branch.linear_proj"))

    inputs = {
        "text": recorder.normal(VIDEOS, WIDTH),
        "frames": recorder.normal(VIDEOS, FRAMES, WIDTH),
        "noise": recorder.draw.random((VIDEOS, WIDTH)),
    }
    scale = np.exp(1.5)

    def train(of: Arrays) -> Arrays:
        text, pooled, own = (
            of["text"],
            pooled_by_text(of["text"], of["frames"], plain),
            radius(of["text"], of["frames"]),
        )
        support = text + unit(pooled.mean(1) - text) * own
        drawn = text + of["noise"] * own
        sims = [np.einsum("md,nmd->mn", unit(side), unit(pooled)) for side in (drawn, support, text)]
        losses = [cross_entropy(scale * sim) for sim in sims]
        return {
            "text_stochastic": drawn,
            "radius": own,
            "log_radius": np.log(own),
            "pooled_frames": pooled,
            "similarity": sims[0],
            "similarity_support": sims[1],
            "similarity_without_sampling": sims[2],
            "text_support": support,
            "loss_main": np.asarray(losses[0]),
            "loss_support": np.asarray(losses[1]),
            "loss_total": np.asarray(losses[0] + 0.5 * losses[1]),
        }

    param = {"logit_scale_log": 1.5, "support_loss_weight": 0.5}
    recorder.add("tmass_train", input=inputs, weights=weights, param=param, output=train(inputs))
    recorder.add_gradients("tmass_train", inputs, lambda of: train(of)["similarity"], "text", "frames")
    group = "grad_of_loss_total"
    recorder.add_gradients("tmass_train", inputs, lambda of: train(of)["loss_total"], "text", "frames", group=group)

    text, frames = recorder.normal(TEXTS, WIDTH), inputs["frames"]
    noise = recorder.draw.random((VIDEOS, 2, TEXTS, WIDTH))
    pooled = pooled_by_text(text, frames, plain)
    cosine = np.empty((VIDEOS, 2, TEXTS))
    for video, trial, row in np.ndindex(cosine.shape):
        drawn = text[row] + noise[video, trial, row] * radius(text[row], frames[video])
        cosine[video, trial, row] = unit(drawn) @ unit(pooled[video, row])
    outputs = {
        "cosine_per_video_trial_text": cosine,
        "similarity_text_conditioned_best_trial": cosine.max(1).T,
        "similarity_without_sampling": np.einsum("md,nmd->mn", unit(text), unit(pooled)),
        "similarity_as_published_eval": recorder.normal(TEXTS, VIDEOS),
    }
    evaluated = {"text": text, "frames": frames, "noise": noise}
    recorder.add("tmass_eval", input=evaluated, weights=weights, param={"trials": 2}, output=outputs)


def dicosa(recorder: Recorder) -> None:
    centers, width = 3, WIDTH // 3
    inputs = {"text": recorder.normal(VIDEOS, WIDTH), "frames": recorder.normal(VIDEOS, FRAMES, WIDTH)}
    mask = recorder.mask(VIDEOS, FRAMES)
    weights = recorder.layers(("weight_fc.0", 4 * width, 2 * width), ("weight_fc.2", 1, 4 * width))
    param = {"center": centers, "temp": 2.0, "alpha": 0.3, "beta": 0.2, "number_of_words_used_as_divisor": 7}

    def pooled(of: Arrays) -> np.ndarray:
        shares = softmax(np.einsum("md,ntd->mnt", of["text"], of["frames"]) / 2.0) * mask
        return np.einsum("mnt,ntd->mnd", shares, of["frames"])

    def similarity(of: Arrays) -> np.ndarray:
        found, videos = np.zeros((VIDEOS, VIDEOS)), pooled(of)
        for row, column, center in np.ndindex(VIDEOS, VIDEOS, centers):
            part = slice(center * width, (center + 1) * width)
            text, video = of["text"][row, part], videos[row, column, part]
            hidden = np.maximum(linear(np.concatenate([text, video]), weights, "weight_fc.0"), 0)
            found[row, column] += linear(hidden, weights, "weight_fc.2")[0] * (unit(text) @ unit(video))
        return found

    def loss(of: Arrays) -> np.ndarray:
        sides = [of["text"], pooled(of)[np.arange(VIDEOS), np.arange(VIDEOS)]]
        blocks = [side.reshape(VIDEOS, centers, width) for side in sides]
        text, video = ((b - b.mean(-1, keepdims=True)) / b.std(-1, ddof=1, keepdims=True) for b in blocks)
        alike = np.einsum("bid,bjd->ij", text, video) / VIDEOS / 7
        own = alike.diagonal()
        return np.asarray(0.3 * ((1 - own) ** 2).sum() + 0.2 * ((alike**2).sum() - (own**2).sum()))

    recorder.add("dicosa_train", input=inputs | {"video_mask": mask}, weights=weights, param=param)
    recorder.add("dicosa_train", output={"similarity": similarity(inputs), "decorrelation_loss": loss(inputs)})
    recorder.add_gradients("dicosa_train", inputs, loss, "text", "frames")


def token_interaction(recorder: Recorder) -> None:
    inputs = {"words": recorder.normal(VIDEOS, WORDS, WIDTH), "frames": recorder.normal(VIDEOS, FRAMES, WIDTH)}
    masks = {"text_mask": recorder.mask(VIDEOS, WORDS), "video_mask": recorder.mask(VIDEOS, FRAMES)}
    sides = {"text": ("words", "text_mask"), "video": ("frames", "video_mask")}
    weights = {}
    for side in sides:
        weights |= recorder.layers((f"{side}_weight_fc.0", 5, WIDTH), (f"{side}_weight_fc.2", 1, 5))
        weights |= {f"{side}_weight_fc.0.weight": recorder.normal(WIDTH, WIDTH) / 3}
        weights |= {
            f"{side}_weight_fc.0.bias": recorder.normal(WIDTH),
            f"{side}_weight_fc.2.weight": recorder.normal(1, WIDTH),
        }

    def shares(of: Arrays, side: str) -> np.ndarray:
        values, mask = of[sides[side][0]], masks[sides[side][1]]
        hidden = np.maximum(linear(values, weights, f"{side}_weight_fc.0"), 0)
        logits = linear(hidden, weights, f"{side}_weight_fc.2")[..., 0]
        return softmax(np.where(mask > 0, logits, -np.inf))

    def all_pairs(of: Arrays) -> np.ndarray:
        cosine = np.einsum("ald,btd->ablt", unit(of["words"]), unit(of["frames"]))
        return cosine * masks["text_mask"][:, None, :, None] * masks["video_mask"][None, :, None, :]

    def similarity(of: Arrays, a: np.ndarray | None = None, b: np.ndarray | None = None) -> np.ndarray:
        a, b = shares(of, "text") if a is None else a, shares(of, "video") if b is None else b
        best_frame, best_word = all_pairs(of).max(3), all_pairs(of).max(2)
        return (np.einsum("abl,al->ab", best_frame, a) + np.einsum("abt,bt->ab", best_word, b)) / 2

    def equal(of: Arrays) -> np.ndarray:
        counts = {name: mask.sum(1, keepdims=True) for name, mask in masks.items()}
        return similarity(of, masks["text_mask"] / counts["text_mask"], masks["video_mask"] / counts["video_mask"])

    def cdcr(of: Arrays) -> np.ndarray:
        own = all_pairs(of)[np.arange(VIDEOS), np.arange(VIDEOS)]
        words, frames = unit(of["words"]), unit(of["frames"])
        total = np.zeros((WIDTH, WIDTH))
        for mine, other, match, a, mask in (
            (words, frames, own, shares(of, "text"), masks["text_mask"]),
            (frames, words, own.transpose(0, 2, 1), shares(of, "video"), masks["video_mask"]),
        ):
            rows = [(pair, place) for pair, place in np.ndindex(*mask.shape) if mask[pair, place]]
            left = np.array([mine[row] for row in rows])
            right = np.array([other[pair, match[pair, place].argmax()] for pair, place in rows])
            left, right = ((side - side.mean(0)) / side.std(0, ddof=1) for side in (left, right))
            total += (left * np.array([a[row] for row in rows])[:, None]).T @ right / VIDEOS / 2
        own_channels = total.diagonal()
        return np.asarray(0.4 * ((1 - own_channels) ** 2).sum() + 0.1 * ((total**2).sum() - (own_channels**2).sum()))

    recorder.add("ti", input=inputs | masks, output={"similarity": equal(inputs)})
    recorder.add_gradients("ti", inputs, equal, "words", "frames")
    outputs = {"similarity": similarity(inputs)} | {f"{side}_weight": shares(inputs, side) for side in sides}
    recorder.add("wti_arch2", input=inputs | masks, weights=weights, output=outputs)
    recorder.add_gradients("wti_arch2", inputs, similarity, "words", "frames")
    param = {"logit_scale_log": 1.0, "cdcr": 3, "cdcr_alpha1": 0.4, "cdcr_alpha2": 0.1}
    outputs = {"similarity_times_logit_scale": np.e * similarity(inputs), "cdcr_loss": cdcr(inputs)}
    recorder.add("cdcr3_wti", input=inputs | masks, weights=weights, param=param, output=outputs)
    recorder.add_gradients("cdcr3_wti", inputs, cdcr, "words", "frames")


def xclip(recorder: Recorder) -> None:
    inputs = {
        "text": recorder.normal(TEXTS, WIDTH),
        "words": recorder.normal(TEXTS, WORDS, WIDTH),
        "frames": recorder.normal(VIDEOS, FRAMES, WIDTH),
    }
    mask = recorder.mask(VIDEOS, FRAMES)
    shapes = {"global_mat_weight": WIDTH, "local_mat_weight": WIDTH}
    shapes |= dict.fromkeys(("word_logit_weight", "word_mat_weight", "word_mat_weight2"), WORDS)
    shapes |= dict.fromkeys(("frame_logit_weight", "frame_mat_weight", "frame_mat_weight2"), FRAMES)
    weights = {name: recorder.normal(size, size) for name, size in shapes.items()}
    tau = 0.1

    def reduced(scores: np.ndarray, name: str) -> np.ndarray:
        return ((softmax(scores / tau) @ weights[name]) * scores).sum(-1)

    def terms(of: Arrays) -> dict[str, np.ndarray]:
        text, words, frames = (unit(of[name]) for name in ("text", "words", "frames"))
        mean = (frames * mask[..., None]).sum(1) / mask.sum(1, keepdims=True)
        video = unit(mean)
        word_frame = np.einsum("mld,ntd->mnlt", words @ weights["local_mat_weight"], frames)
        by_word = reduced(np.swapaxes(word_frame, 2, 3), "word_mat_weight")  # m, n, t
        by_frame = reduced(word_frame, "frame_mat_weight")  # m, n, l
        return {
            "term_sentence_video": text @ weights["global_mat_weight"] @ video.T,
            "term_sentence_frame": reduced(np.einsum("md,ntd->mnt", text, frames), "frame_logit_weight"),
            "term_word_video": reduced(np.einsum("mld,nd->mnl", words, video), "word_logit_weight"),
            "term_word_frame": (reduced(by_word, "frame_mat_weight2") + reduced(by_frame, "word_mat_weight2")) / 2,
        }

    def similarity(of: Arrays) -> np.ndarray:
        return np.exp(0.7) * sum(terms(of).values()) / 4

    outputs = terms(inputs) | {"similarity_times_logit_scale": similarity(inputs)}
    param = {"logit_scale_log": 0.7, "attention_temperature": tau}
    masks = {"text_mask": recorder.mask(TEXTS, WORDS), "video_mask": mask}
    recorder.add("xclip", input=inputs | masks, weights=weights, param=param, output=outputs)
    recorder.add_gradients("xclip", inputs, similarity, "text", "words", "frames")


def encoded_frames(frames: np.ndarray, mask: np.ndarray, weights: Arrays, layers: int, heads: int) -> np.ndarray:
    """CLIP4Clip's temporal transformer, with what is added to it at the end."""
    values = frames + weights["frame_position_embeddings.weight"][: frames.shape[1]]
    bias = np.where(mask > 0, 0.0, -1e6)[:, None, None, :]
    for layer in range(layers):
        own = {name.split(f"resblocks.{layer}.")[-1]: value for name, value in weights.items()}
        projected = norm(values, own, "ln_1", 1e-12) @ own["attn.in_proj_weight"].T + own["attn.in_proj_bias"]
        query, key, value = (
            part.reshape(*frames.shape[:2], heads, -1).transpose(0, 2, 1, 3) for part in np.split(projected, 3, -1)
        )
        shares = softmax(query @ key.transpose(0, 1, 3, 2) / np.sqrt(query.shape[-1]) + bias)
        mixed = (shares @ value).transpose(0, 2, 1, 3).reshape(frames.shape)
        values = values + linear(mixed, own, "attn.out_proj")
        hidden = linear(norm(values, own, "ln_2", 1e-12), own, "mlp.c_fc")
        values = values + linear(hidden / (1 + np.exp(-1.702 * hidden)), own, "mlp.c_proj")
    return values + frames


def temporal(recorder: Recorder) -> None:
    """AFA, seqTransf and meanP."""
    inputs = {"text": recorder.normal(TEXTS, WIDTH), "frames": recorder.normal(VIDEOS, FRAMES, WIDTH)}
    mask = recorder.mask(VIDEOS, FRAMES)
    weights = {"frame_position_embeddings.weight": recorder.normal(FRAMES + 3, WIDTH)}
    for layer in range(3):
        name = f"transformerClip.resblocks.{layer}"
        weights |= recorder.norms(f"{name}.ln_1", f"{name}.ln_2")
        weights |= recorder.layers((f"{name}.attn.out_proj", WIDTH, WIDTH))
        weights |= recorder.layers((f"{name}.mlp.c_fc", 4 * WIDTH, WIDTH), (f"{name}.mlp.c_proj", WIDTH, 4 * WIDTH))
        weights[f"{name}.attn.in_proj_weight"] = 0.5 * recorder.normal(3 * WIDTH, WIDTH)
        weights[f"{name}.attn.in_proj_bias"] = recorder.normal(3 * WIDTH)
    ours = recorder.layers(("frameLinear", WIDTH, WIDTH), ("frameLinear2", 1, WIDTH))

    def mean(frames: np.ndarray) -> np.ndarray:
        return (unit(frames) * mask[..., None]).sum(1) / mask.sum(1, keepdims=True)

    def encoded(of: Arrays) -> np.ndarray:
        return encoded_frames(of["frames"], mask, weights, 3, 2)

    def afa_logits(frames: np.ndarray) -> np.ndarray:
        return linear(np.maximum(linear(frames, ours, "frameLinear"), 0), ours, "frameLinear2")[..., 0]

    def video(frames: np.ndarray) -> np.ndarray:
        return np.einsum("nt,ntd->nd", softmax(afa_logits(frames) / 0.3), unit(frames))

    def afa(of: Arrays) -> np.ndarray:
        return np.exp(0.5) * unit(of["text"]) @ unit(video(encoded(of))).T

    def seqtransf(of: Arrays) -> np.ndarray:
        return np.exp(0.5) * unit(of["text"]) @ unit(mean(encoded(of))).T

    def meanp(of: Arrays) -> np.ndarray:
        return np.exp(0.5) * unit(of["text"]) @ unit(mean(of["frames"])).T

    name, masked = "similarity_times_logit_scale", inputs | {"video_mask": mask}
    sizes = {"logit_scale_log": 0.5, "heads": 2, "layers": 3}
    frames = encoded(inputs)
    outputs = {
        name: afa(inputs),
        "frame_weight_softmax_without_temperature": softmax(afa_logits(frames))[..., None],
        "similarity_mean_pooling_times_logit_scale": seqtransf(inputs),
        "video_embedding_get_video_output": video(frames),
        "frames_after_temporal_encoder": frames,
    }
    recorder.add("afa", input=masked, weights=weights | ours, param=sizes | {"afa_temperature": 0.3}, output=outputs)
    recorder.add_gradients("afa", inputs, afa, "text", "frames")
    recorder.add("clip4clip_seqtransf", input=masked, weights=weights, param=sizes, output={name: seqtransf(inputs)})
    recorder.add_gradients("clip4clip_seqtransf", inputs, seqtransf, "text", "frames")
    recorder.add("clip4clip_meanp", input=masked, param={"logit_scale_log": 0.5}, output={name: meanp(inputs)})
    recorder.add_gradients("clip4clip_meanp", inputs, meanp, "text", "frames")


def emcl(recorder: Recorder) -> None:
    """By the loop over samples, which ours never makes."""
    embeddings, row = recorder.normal(9, WIDTH), recorder.normal(1, 5)
    param = {"k": 5, "stage_num": 4, "lamd": 0.8, "beta": 2.0, "momentum": 0.7}
    bases = np.repeat(row, len(embeddings), axis=0)
    for _ in range(4):
        shares = softmax(embeddings.T @ bases / 0.8)
        shares = shares / (1e-6 + shares.sum(0))
        bases = embeddings @ shares
        bases = bases / (1e-6 + np.linalg.norm(bases, axis=0))
    outputs = {"embeddings": 2.0 * bases @ shares.T + embeddings}
    outputs["bases_after_momentum_update"] = 0.7 * row + 0.3 * bases.mean(0, keepdims=True)
    inputs = {"embeddings": embeddings, "initial_bases": row}
    recorder.add("emcl", input=inputs, param=param, output=outputs, grad={"embeddings": np.ones_like(embeddings)})
