"""What can be named in a training run, and what each model reads: plain names, so that `--help` needs no torch.

The tables that the names lead to lie beside the code (`AGGREGATORS`, `GATES`, `TEXT_HEADS`, `LOSSES`). Of models there
is one table, `MODELS`: an entry says where a model is built and what must be known of it before. `heads/__init__.py`
tells how one is added.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator, MutableMapping
from dataclasses import dataclass, replace
from importlib.metadata import entry_points

from ..pipeline.errors import CamoeError

AGGREGATORS = ("mean", "se", "attention")
GATES = ("none", "single", "full")
TEXT_HEADS = ("none", "linear", "residual")
LOSSES = ("ce", "dsl")
DUPLICATE_TEXT = ("negative", "mask", "positive")
PADDING = ("masked", "published")
PRECISIONS = ("fp32", "bf16")
REPORTERS = {"tensorboard": ".reporters.tensorboard:TensorBoard", "wandb": ".reporters.wandb:WeightsAndBiases"}
"""Where a run's numbers can go besides its folder: `module:class`, made with the folder, as `reporters/` describes."""
AUTO, DEVICE, HOST, DISK = RESIDENCE = ("auto", "device", "host", "disk")
"""Where features are while training: all on the device as float32, or as float16 in host memory or in the store."""

ARCHITECTURE = ("experts", "aggregator", "gate", "attention_layers", "text_head", "padding", "trials", "emcl")
"""Settings that only some models read."""


@dataclass(frozen=True)
class ModelFacts:
    """What must be known of a model before it is built.

    `build`: `module:function`, a module's name beginning with a dot is one of `camoe.train`; the function takes an
    `Architecture` and a `FeatureShape` and gives a `Scorer`. `reads`: the settings of `ARCHITECTURE` that it reads.
    `raw`: it takes embeddings as the encoder gave them, not normalised, as the published code does. `trains`: it has
    something to learn. `stacks`: runs of it can be trained together as one ensemble. `starts_from_clip`: it can start
    from CLIP's text layers. `words`: it reads word tokens; `fixes_words`: its parameters fix how many a caption has.
    `own_loss`: the published weight of a further loss of its own (`Scorer.own_loss`); 0: it has none.
    """

    build: str
    reads: tuple[str, ...] = ()
    raw: bool = False
    trains: bool = True
    stacks: bool = True
    starts_from_clip: bool = False
    words: bool = False
    fixes_words: bool = False
    own_loss: float = 0.0

    @property
    def ignores(self) -> tuple[str, ...]:
        """Settings of `ARCHITECTURE` that it does not read; setting one of them is a mistake."""
        return tuple(name for name in ARCHITECTURE if name not in self.reads)


_OF_WORDS = ModelFacts(
    ".heads.ti:build", ("padding", "emcl"), raw=True, stacks=False, starts_from_clip=True, words=True, own_loss=0.001
)

_OURS = {
    "camoe": ModelFacts(".model:camoe", ("experts", "aggregator", "gate", "attention_layers", "text_head", "emcl")),
    "meanp": ModelFacts(".model:meanp", ("text_head", "emcl")),
    "temporal": ModelFacts(".model:temporal", ("attention_layers", "text_head", "emcl")),
    "frame-attention": ModelFacts(".frame_attention:build", ("text_head",), stacks=False),
    "seqtransf": ModelFacts(".heads.seqtransf:build", ("emcl",), raw=True, starts_from_clip=True),
    "xpool": ModelFacts(".heads.xpool:build", ("padding", "emcl"), raw=True, stacks=False),
    "query-scoring": ModelFacts(
        ".heads.query_scoring:build", ("padding", "emcl"), raw=True, trains=False, stacks=False
    ),
    "afa": ModelFacts(".heads.afa:build", ("padding", "emcl"), raw=True, starts_from_clip=True),
    "tmass": ModelFacts(".heads.tmass:build", ("padding", "trials", "emcl"), raw=True, stacks=False, own_loss=0.8),
    "dicosa": ModelFacts(
        ".heads.dicosa:build", ("padding", "emcl"), raw=True, stacks=False, starts_from_clip=True, own_loss=1.0
    ),
    "ti": _OF_WORDS,
    "wti": replace(_OF_WORDS, build=".heads.wti:build"),
    "xclip": replace(_OF_WORDS, build=".heads.xclip:build", fixes_words=True, own_loss=0.0),
    "zero-shot": ModelFacts(".model:zero_shot", ("emcl",), trains=False, stacks=False),
}
ENTRY_POINTS = "camoe.models"
"""Group of entry points by which another package adds models: each names a `ModelFacts`."""


class _Models(MutableMapping[str, ModelFacts]):
    """Models by name: ours, those registered, and from the first look on those of other installed packages.

    Not before: a package that imports `camoe.train` while it is itself being imported has no `ModelFacts` yet.
    """

    def __init__(self, ours: dict[str, ModelFacts]) -> None:
        self.known = ours
        self._looked = False

    def __getitem__(self, name: str) -> ModelFacts:
        return self._all()[name]

    def __setitem__(self, name: str, facts: ModelFacts) -> None:
        self.known[name] = facts

    def __delitem__(self, name: str) -> None:
        del self.known[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._all())

    def __len__(self) -> int:
        return len(self._all())

    def _all(self) -> dict[str, ModelFacts]:
        if not self._looked:
            self._looked = True
            _register_installed()
        return self.known


MODELS = _Models(_OURS)


def register_model(name: str, facts: ModelFacts) -> None:
    """Add a model, from then on a choice like ours; raises `CamoeError` for a name that another has."""
    if MODELS.known.get(name, facts) != facts:
        raise CamoeError(f"there is a model {name!r} already; register yours under another name")
    MODELS[name] = facts


def _register_installed() -> None:
    """Other packages' models; one that cannot be loaded is told and left out, as the others are still of use."""
    for point in entry_points(group=ENTRY_POINTS):
        try:
            register_model(point.name, point.load())
        except Exception as error:
            warnings.warn(f"model {point.name} ({point.value}) is left out: {error}", stacklevel=1)
