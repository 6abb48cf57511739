"""Everything that can be set about a training run."""

from __future__ import annotations

import math
from dataclasses import dataclass, fields
from pathlib import Path

from ..pipeline.config import Config, SettingError, setting
from ..pipeline.tags import check_tags
from ..pipeline.text_names import FUSION
from ..pipeline.wording import counted
from .names import (
    AGGREGATORS,
    DUPLICATE_TEXT,
    GATES,
    LOSSES,
    MODELS,
    PADDING,
    PRECISIONS,
    REPORTERS,
    RESIDENCE,
    TEXT_HEADS,
    ModelFacts,
)
from .recipe import Architecture, BatchSettings, FeatureSettings, LossSettings, Optimisation, Recipe, StepSettings


@dataclass(frozen=True, kw_only=True)
class TrainConfig(Config):
    """One training run; raises `CamoeError` for values that do not fit or do not go together."""

    features: tuple[str, ...] = setting(help="Feature store: a file, several, a glob or a folder of shards.")
    out: Path | None = setting(None, help="Run folder to write; none: runs/MODEL-LOSS-SEED.")
    overwrite: bool = setting(False, help="Replace a run folder that is already there.")
    protocol: str | None = setting(None, help="Which captions are train, val and test; none: the store's only one.")
    allow_missing: bool = setting(False, help="Leave out captions whose video has no features.")
    validation_fraction: float = setting(
        0.1, help="Share of the training videos to hold out if the protocol has no val captions."
    )

    model: str = setting("camoe", help="What is trained.", choices=MODELS)
    streams: tuple[str, ...] = setting(("fusion", "entity", "action"), help="Readings of the text to compare.")
    strategy: tuple[str, ...] = setting(
        ("muw",),
        help="How the streams' sentences are built: NAME, or STREAM=NAME for one stream; fusion reads whole captions.",
    )
    stream_weights: tuple[float, ...] = setting((), help="Share of each stream in score and loss; none: equal.")
    experts: int | None = setting(None, help="Experts; none: one per stream.")
    aggregator: tuple[str, ...] = setting(
        ("attention",), help="Frames to one vector; one name, or one per expert.", choices=AGGREGATORS
    )
    attention_layers: int = setting(1, help="Layers of temporal attention in an expert.")
    gate: str = setting("single", help="How experts are mixed.", choices=GATES)
    text_head: str = setting("residual", help="What the sentence embeddings go through.", choices=TEXT_HEADS)
    padding: str = setting(
        "masked", help="Whether padded frames are left out, or treated as in the published code.", choices=PADDING
    )

    trials: int = setting(20, help="tmass scores a pair by the best of this many draws; 0: by the text itself.")
    emcl: bool = setting(
        False, help="Add to all embeddings what they have in common (EMCL; transductive: needs all queries at once)."
    )

    loss: str = setting("ce", help="Symmetric cross-entropy or Dual Softmax Loss.", choices=LOSSES)
    loss_temperature: float = setting(1000.0, help="Temperature of the Dual Softmax prior in training.")
    stop_gradient_prior: bool = setting(False, help="Treat the Dual Softmax prior as a constant.")
    own_loss: float | None = setting(
        None, help="Weight of a head's extra loss (tmass, dicosa, ti, wti); none: as published; 0: without it."
    )
    duplicate_text: str = setting(
        "negative", help="How another video of the batch with the same sentence counts.", choices=DUPLICATE_TEXT
    )

    batch_size: int = setting(64, help="Videos per step, all different.")
    captions_per_video: int = setting(1, help="Captions per video in a batch; they share one pass over its frames.")
    accumulate: int = setting(
        1, help="Parts in which a batch is encoded, to save memory; the loss is still that of the whole batch."
    )
    epochs: int = setting(32, help="Passes over the training videos.")
    learning_rate: float = setting(2e-3, help="Peak learning rate of AdamW.")
    weight_decay: float = setting(0.1, help="Weight decay of AdamW, on matrices.")
    warmup: float = setting(0.1, help="Share of the steps in which the learning rate rises; then a cosine to zero.")
    dropout: float = setting(0.1, help="Dropout on sentence embeddings and on aggregated frames.")
    clip_gradient: float = setting(1.0, help="Largest gradient norm.")
    patience: int | None = setting(None, help="Stop after this many epochs without a better one; none: never.")

    shuffle_frames: bool = setting(False, help="Control: permute every video's frames, by seed, always.")
    seed: int = setting(0, help="Seed of everything random.")
    device: str = setting("auto", help="auto, cpu, cuda or cuda:N.")
    resident: str = setting(
        "auto",
        help="Where features are kept: on the device, in host memory (float16), or in the store; auto: where they fit.",
        choices=RESIDENCE,
    )
    precision: str = setting(
        "fp32", help="Precision of the encoders' matrix products in training; the loss is fp32.", choices=PRECISIONS
    )
    threads: int | None = setting(None, help="CPU threads; none: one if batches are small, else PyTorch's choice.")
    checkpoint_seconds: float = setting(
        30.0, help="Least time between checkpoints for --resume, written when an epoch ends; 0: after every epoch."
    )
    log: tuple[str, ...] = setting((), help="Where each epoch's numbers go besides metrics.jsonl.", choices=REPORTERS)
    tensorboard: bool = setting(False, help="The same as --log tensorboard.")
    tags: tuple[str, ...] = setting(
        (),
        flag="--tag",
        repeat=True,
        help="A word to find the run by, kept with it and passed to loggers; repeatable.",
    )

    def check(self) -> None:
        _check_ranges(self)
        _check_streams(self)
        check_tags(self.tags)
        defaults = {item.name: item.default for item in fields(self)}
        for name in self.facts.ignores:
            if getattr(self, name) not in (defaults[name], "none"):
                others = " or ".join(other for other, facts in MODELS.items() if name in facts.reads)
                raise SettingError.about(
                    name, f"has no effect on model {self.model}; leave it out, or train model {others}"
                )
        if self.own_loss is not None and not self.facts.own_loss:
            others = " or ".join(other for other, facts in MODELS.items() if facts.own_loss)
            raise SettingError.about(
                "own_loss", f"has no effect on model {self.model}; leave it out, or train model {others}"
            )
        if self.facts.words and self.streams != (FUSION,):
            told = "{model} {name} reads the words of whole captions; give {streams} {fusion}"
            raise SettingError(told, name=self.model, fusion=FUSION)
        if self.model != "camoe":
            return
        count = self.expert_count
        if len(self.aggregator) not in (1, count):
            told = f"names {len(self.aggregator)} aggregators for {counted(count, 'expert')}; give 1 or {count}"
            raise SettingError.about("aggregator", told)
        if self.gate == "none" and count > len(self.streams):
            unused = counted(count - len(self.streams), "expert")
            raise SettingError("{gate} none leaves {unused} unused; use {gate} single or full", unused=unused)
        if self.gate == "single" and FUSION not in self.streams:
            raise SettingError(
                "{gate} single mixes the experts for the fusion stream; add fusion to {streams}, or use full"
            )

    @property
    def facts(self) -> ModelFacts:
        """What the trainer must know of the model."""
        return MODELS[self.model]

    @property
    def stacks(self) -> bool:
        """Whether runs of it can be trained together as one ensemble."""
        return self.facts.stacks and not self.emcl

    @property
    def reporters(self) -> tuple[str, ...]:
        """Names of `REPORTERS`, each once."""
        return tuple(dict.fromkeys((*self.log, *(["tensorboard"] if self.tensorboard else []))))

    @property
    def expert_count(self) -> int:
        return len(self.streams) if self.experts is None else self.experts

    @property
    def aggregators(self) -> tuple[str, ...]:
        """One name per expert."""
        return self.aggregator if len(self.aggregator) > 1 else self.aggregator * self.expert_count

    @property
    def weights(self) -> tuple[float, ...]:
        """One per stream, their sum 1."""
        given = self.stream_weights or (1.0,) * len(self.streams)
        return tuple(weight / sum(given) for weight in given)

    @property
    def strategies(self) -> dict[str, str]:
        """The strategy of each stream; `full` for fusion."""
        general = [entry for entry in self.strategy if "=" not in entry]
        special = dict(entry.split("=", 1) for entry in self.strategy if "=" in entry)
        default = general[0] if general else "muw"
        return {stream: "full" if stream == FUSION else special.get(stream, default) for stream in self.streams}

    @property
    def shuffle_seed(self) -> int | None:
        """By which frames are permuted; none where they are left in their order."""
        return self.seed if self.shuffle_frames else None

    @property
    def recipe(self) -> Recipe:
        """The run as the values that everything beneath `fit` takes."""
        return Recipe(
            architecture=Architecture(
                model=self.model,
                streams=self.streams,
                weights=self.weights,
                aggregators=self.aggregators,
                attention_layers=self.attention_layers,
                gate=self.gate,
                text_head=self.text_head,
                padding=self.padding,
                trials=self.trials,
                emcl=self.emcl,
            ),
            features=FeatureSettings(
                strategies=self.strategies,
                raw=self.facts.raw,
                words=self.facts.words,
                shuffle_seed=self.shuffle_seed,
                validation_fraction=self.validation_fraction if self.facts.trains else None,
                seed=self.seed,
            ),
            batches=BatchSettings(self.batch_size, self.captions_per_video, self.dropout),
            step=StepSettings(
                LossSettings(
                    self.loss,
                    self.loss_temperature,
                    self.duplicate_text,
                    self.stop_gradient_prior,
                    self.facts.own_loss if self.own_loss is None else self.own_loss,
                ),
                self.accumulate,
                self.precision,
            ),
            optimisation=Optimisation(
                epochs=self.epochs,
                learning_rate=self.learning_rate,
                weight_decay=self.weight_decay,
                warmup=self.warmup,
                clip_gradient=self.clip_gradient,
                patience=self.patience,
            ),
            seed=self.seed,
        )

    @property
    def folder(self) -> Path:
        return self.out or Path("runs") / f"{self.model}-{self.loss}-{self.seed}"


COUNTS: dict[str, tuple[int, float]] = {
    "experts": (1, 256),
    "trials": (0, 10_000),
    "own_loss": (0, 1_000_000),
    "attention_layers": (1, 64),
    "batch_size": (2, 1_000_000),
    "captions_per_video": (1, 1000),
    "accumulate": (1, 1_000_000),
    "epochs": (1, 1_000_000),
    "patience": (1, 1_000_000),
    "threads": (1, 1024),
    "seed": (0, 2**63 - 1),
    "weight_decay": (0, math.inf),
    "checkpoint_seconds": (0, math.inf),
}
"""Least and most of each; the most is far beyond use and keeps a slip of the finger from filling the memory."""
_MOST_NAMES = 256


def _check_ranges(config: TrainConfig) -> None:
    for name in ("loss_temperature", "learning_rate", "clip_gradient"):
        if not getattr(config, name) > 0:
            raise SettingError.about(name, f"must be a positive number, not {getattr(config, name)}")
    for name in ("learning_rate", "weight_decay"):
        if math.isinf(getattr(config, name)):
            raise SettingError.about(name, f"must be a finite number, not {getattr(config, name)}")
    for name, (least, most) in COUNTS.items():
        value = getattr(config, name)
        if value is not None and not least <= value <= most:
            rule = f"at least {least}" if value < least else f"at most {most}"
            raise SettingError.about(name, f"must be {rule}, not {value}")
    for name in ("warmup", "dropout"):
        if not 0 <= getattr(config, name) < 1:
            raise SettingError.about(name, f"must be at least 0 and below 1, not {getattr(config, name)}")
    if not 0 < config.validation_fraction < 1:
        raise SettingError.about("validation_fraction", f"must be between 0 and 1, not {config.validation_fraction}")


def _check_streams(config: TrainConfig) -> None:
    for name in ("features", "streams", "strategy", "aggregator"):
        if not getattr(config, name):
            raise SettingError.about(name, "is empty; name at least one")
        if name != "features" and len(getattr(config, name)) > _MOST_NAMES:
            raise SettingError.about(
                name, f"has {len(getattr(config, name))} entries; at most {_MOST_NAMES} make sense"
            )
    if len(set(config.streams)) < len(config.streams):
        raise SettingError.about("streams", f"names one of {', '.join(config.streams)} twice; name each once")
    if config.stream_weights and (
        len(config.stream_weights) != len(config.streams)
        or min(config.stream_weights) < 0
        or not 0 < sum(config.stream_weights) < math.inf
    ):
        raise SettingError.about(
            "stream_weights", f"must be {len(config.streams)} numbers from 0, not all 0; one per stream"
        )
    special = [entry.split("=", 1)[0] for entry in config.strategy if "=" in entry]
    for stream in special:
        if stream not in config.streams or stream == FUSION:
            others = [name for name in config.streams if name != FUSION]
            raise SettingError.about(
                "strategy", f"names stream {stream!r}; it can name {', '.join(others) or 'none here'}"
            )
    if len(config.strategy) - len(special) > 1:
        raise SettingError.about(
            "strategy", f"{','.join(config.strategy)} names two for all streams; write STREAM=NAME for one"
        )
