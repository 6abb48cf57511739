"""The golden check: zero-shot numbers of a store that should equal published ones.

Nothing is trained: frames are normalised, averaged and compared with whole captions, as CLIP4Clip's zero-shot meanP
(arXiv 2104.08860). It tells whether videos, captions, sampling and CLIP are those of everybody else.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from ..pipeline.errors import CamoeError
from ..pipeline.store import FeatureStore
from ..train.config import FUSION, TrainConfig
from ..train.loop import store_record
from ..train.model import FeatureShape, build_model
from ..train.run_folder import Run
from .config import EvaluateConfig
from .metrics import summarise_ranks
from .ranked import rank
from .subject import Subject, open_subject


@dataclass(frozen=True)
class Check:
    """Published text-to-video R@K (percent) of a CLIP file on a protocol's test captions.

    `tolerance` is in points: other decoders, re-compressed copies and fp16 flip a few of the queries (at 1,000 of them
    ten make one point), a wrong crop, colour order, sampling or caption list many more.
    """

    protocols: tuple[str, ...]
    captions: int
    clip_model: str
    clip_sha256: str
    published: dict[str, float]
    tolerance: float
    settings: dict[str, object]


CHECKS: dict[str, Check] = {
    "msrvtt-1ka": Check(
        protocols=("msrvtt-1ka-9k", "msrvtt-1ka-7k"),
        captions=1000,
        clip_model="ViT-B/32",
        clip_sha256="40d365715913c9da98579312b702a82c18be219cc2a73407c4526f58eba950af",
        published={"R@1": 31.2, "R@5": 53.7, "R@10": 64.2},
        tolerance=1.5,
        settings={"fps": 1.0, "max_frames": 12, "sampling": "clip4clip"},
    )
}


@dataclass(frozen=True)
class CheckResult:
    """What a check came to; `measured` are text-to-video R@K in percent, `hints` say where to look."""

    name: str
    store: str
    captions: int
    measured: dict[str, float]
    hints: list[str]

    @property
    def passed(self) -> bool:
        check = CHECKS[self.name]
        return all(abs(self.measured[name] - value) <= check.tolerance for name, value in check.published.items())

    def render(self) -> str:
        """The comparison as text, ending in the verdict."""
        check = CHECKS[self.name]
        lines = [f"{self.name}: zero-shot text to video on {self.store}, {self.captions} captions", ""]
        lines.append("        published  measured  difference")
        for name, value in check.published.items():
            mine = self.measured[name]
            lines.append(f"{name:<8}{value:9.1f}{mine:10.1f}{mine - value:+12.1f}")
        verdict = (
            f"PASS: within {check.tolerance} points" if self.passed else f"FAIL: more than {check.tolerance} points off"
        )
        return "\n".join([*lines, "", verdict, *([] if self.passed else [f"look at: {hint}" for hint in self.hints])])


def golden_check(config: EvaluateConfig) -> CheckResult:
    """Evaluate a store zero-shot and compare it with `CHECKS[config.golden]`.

    Raises `CamoeError` for a store of another CLIP file, or without the check's protocol.
    """
    assert config.golden is not None
    check, store = CHECKS[config.golden], FeatureStore.open(config.features)
    if store.settings.clip_sha256 != check.clip_sha256:
        raise CamoeError(
            f"check {config.golden} is about {check.clip_model} (SHA-256 {check.clip_sha256}), the store's features "
            f"are of {store.settings.clip_model} ({store.settings.clip_sha256}); extract with --clip {check.clip_model}"
        )
    protocol = next((name for name in check.protocols if name in store.protocols), None)
    if protocol is None:
        raise CamoeError(
            f"check {config.golden} needs protocol {' or '.join(check.protocols)}, the store has "
            f"{', '.join(store.protocols) or 'none'}; extract it with --dataset msrvtt"
        )
    asked = replace(config, golden=None, run=Path("zero-shot"), protocol=protocol, rerank=("none",), allow_missing=True)
    subject = open_subject(asked, zero_shot_run(store, config.features, protocol))
    ranked = rank(subject, asked)
    measured = summarise_ranks(ranked.ranks["none"].t2v, lower_median=ranked.lower_median)
    captions = len(ranked.video_of_caption)
    return CheckResult(config.golden, subject.store_name, captions, measured, _hints(check, subject, captions))


def zero_shot_run(store: FeatureStore, features: tuple[str, ...], protocol: str) -> Run:
    """A run that was never trained, in memory: the mean of the frames against the whole caption."""
    config = TrainConfig(features=features, model="zero-shot", streams=(FUSION,))
    shape = FeatureShape(store.settings.embed_dim, store.frames().shape[1], store.settings.clip_logit_scale)
    record = store_record(store, protocol) | {"held_out_videos": [], "shape": shape.to_dict(), "selection": {}}
    return Run(Path("zero-shot"), config, record, build_model(config, shape).eval())


def _hints(check: Check, subject: Subject, captions: int) -> list[str]:
    """What differs from how the published numbers were made, most likely first."""
    hints = []
    if captions != check.captions:
        hints.append(f"the test list, {captions} captions instead of {check.captions}")
    if subject.scorer.shortfall or subject.scorer.missing_captions:
        hints.append("missing videos, see failures.csv and camoe-extract's last lines")
    for name, value in check.settings.items():
        mine = getattr(subject.store.settings, name)
        if mine != value:
            hints.append(f"{name}, {mine} instead of {value}")
    damaged = sum(status != "ok" for status in subject.store.video_status)
    if damaged:
        hints.append(f"{damaged} videos that were damaged and have fewer frames")
    return [*hints, "the videos themselves: re-compressed or resized copies score lower"]
