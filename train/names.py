"""What can be named in a training run, and what each model reads: plain names, so that `--help` needs no torch.

The tables that the names lead to lie beside the code (`AGGREGATORS`, `GATES`, `TEXT_HEADS`, `LOSSES`, `MODELS`).
"""

from __future__ import annotations

from dataclasses import dataclass

AGGREGATORS = ("mean", "se", "attention")
GATES = ("none", "single", "full")
TEXT_HEADS = ("none", "linear", "residual")
LOSSES = ("ce", "dsl")
DUPLICATE_TEXT = ("negative", "mask", "positive")
PADDING = ("masked", "published")
PRECISIONS = ("fp32", "bf16")

ARCHITECTURE = ("experts", "aggregator", "gate", "attention_layers", "text_head", "padding")
"""Settings that only some models read."""


@dataclass(frozen=True)
class ModelFacts:
    """What the trainer must know of a model before it is built.

    `reads`: the settings of `ARCHITECTURE` that it reads. `raw`: it takes embeddings as the encoder gave them, not
    normalised, as the published code does. `trains`: it has something to learn. `stacks`: runs of it can be trained
    together as one ensemble. `starts_from_clip`: it can start from CLIP's text layers.
    `words`: it reads word tokens; `fixes_words`: its parameters fix how many a caption has.
    """

    reads: tuple[str, ...] = ()
    raw: bool = False
    trains: bool = True
    stacks: bool = True
    starts_from_clip: bool = False
    words: bool = False
    fixes_words: bool = False


MODELS = {
    "camoe": ModelFacts(("experts", "aggregator", "gate", "attention_layers", "text_head")),
    "meanp": ModelFacts(("text_head",)),
    "temporal": ModelFacts(("attention_layers", "text_head")),
    "frame-attention": ModelFacts(("text_head",), stacks=False),
    "seqtransf": ModelFacts(raw=True, starts_from_clip=True),
    "xpool": ModelFacts(("padding",), raw=True, stacks=False),
    "zero-shot": ModelFacts(trains=False, stacks=False),
}
