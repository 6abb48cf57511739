"""The golden check: zero-shot numbers of a store that should be near published ones.

Nothing is trained: frames are normalised, averaged and compared with whole captions. It tells whether videos, captions,
sampling and CLIP are those of everybody else. `checks.py` says whose numbers and whose pipeline it follows.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ..pipeline.errors import CamoeError
from ..pipeline.store import FeatureStore
from ..pipeline.too_few import too_few
from ..pipeline.wording import counted, short_hash
from ..train.config import FUSION, TrainConfig
from ..train.loop import store_record
from ..train.model import FeatureShape, build_model
from ..train.run_folder import Run
from .checks import CHECKS, Check
from .names import NONE
from .ranked import MATRIX_BYTES, Method, rank_subset
from .result import Metrics
from .subject import Subject, open_subject

__all__ = ["CHECKS", "Check", "CheckResult", "golden_check", "zero_shot_run"]


@dataclass(frozen=True)
class CheckResult:
    """What a check came to; `measured` are the text-to-video numbers, `hints` say where to look."""

    name: str
    store: str
    captions: int
    videos: int
    measured: Metrics
    hints: list[str]

    @property
    def passed(self) -> bool:
        check = CHECKS[self.name]
        return all(abs(self.measured[name] - value) <= check.tolerance for name, value in check.published.items())

    def render(self) -> str:
        """The comparison as text, ending in the verdict."""
        check = CHECKS[self.name]
        lines = [f"{self.name}: zero-shot text to video on {self.store}, {counted(self.captions, 'caption')}"]
        lines += [sentence] if (sentence := too_few(self.videos)) else []
        lines += [f"published: {check.source}; the store should be made as {check.pipeline}"] if check.source else []
        lines += ["", "        published  measured  difference"]
        for name, value in check.published.items():
            mine = self.measured[name]
            lines.append(f"{name:<8}{value:9.1f}{mine:10.1f}{mine - value:+12.1f}")
        verdict = (
            f"PASS: within {check.tolerance} points" if self.passed else f"FAIL: more than {check.tolerance} points off"
        )
        return "\n".join([*lines, "", verdict, *([] if self.passed else [f"look at: {hint}" for hint in self.hints])])


def golden_check(
    name: str, features: Sequence[str], *, device: str = "auto", max_matrix_bytes: int = MATRIX_BYTES
) -> CheckResult:
    """Evaluate the store at `features` zero-shot and compare it with `CHECKS[name]`.

    Raises `CamoeError` for a store of another CLIP file, or without the check's protocol.
    """
    check, store = CHECKS[name], FeatureStore.open(features)
    if store.settings.clip_sha256 != check.clip_sha256:
        raise CamoeError(
            f"check {name} is about {check.clip_model} (SHA-256 {short_hash(check.clip_sha256)}), the store's "
            f"features are of {store.settings.clip_model} ({short_hash(store.settings.clip_sha256)}); extract with "
            f"--clip {check.clip_model}"
        )
    protocol = next((known for known in check.protocols if known in store.protocols), None)
    if protocol is None:
        raise CamoeError(
            f"check {name} needs protocol {' or '.join(check.protocols)}, the store has "
            f"{', '.join(store.protocols) or 'none'}; extract it with --dataset msrvtt"
        )
    run = zero_shot_run(store, tuple(features), protocol)
    subject = open_subject(run, features, protocol=protocol, allow_missing=True, device=device)
    ranked = rank_subset(subject.scorer, "test", Method(max_matrix_bytes=max_matrix_bytes, hubness=False))
    captions, videos = len(ranked.queries.caption_ids), len(ranked.queries.video_ids)
    measured = ranked.metrics(NONE).t2v
    return CheckResult(name, subject.store_name, captions, videos, measured, _hints(check, subject, captions))


def zero_shot_run(store: FeatureStore, features: tuple[str, ...], protocol: str) -> Run:
    """A run that was never trained, in memory: the mean of the frames against the whole caption."""
    config = TrainConfig(features=features, model="zero-shot", streams=(FUSION,))
    shape = FeatureShape(store.settings.embed_dim, store.frames().shape[1], store.settings.clip_logit_scale)
    record = store_record(store, protocol) | {"held_out_videos": [], "shape": shape.to_json(), "selection": {}}
    return Run(Path("zero-shot"), config, record, build_model(config.recipe, shape).eval())


def _hints(check: Check, subject: Subject, captions: int) -> list[str]:
    """What differs from how the published numbers were made, most likely first."""
    hints = []
    if captions != check.captions:
        hints.append(f"the test list, {counted(captions, 'caption')} instead of {check.captions}")
    if subject.scorer.shortfall or subject.scorer.missing_captions:
        hints.append("missing videos, see failures.csv and camoe-extract's last lines")
    for name, value in check.settings.items():
        mine = getattr(subject.store.settings, name)
        if mine != value:
            hints.append(f"{name}, {mine} instead of {value}")
    damaged = sum(status != "ok" for status in subject.store.video_status)
    if damaged:
        hints.append(f"damaged videos, which have fewer frames: {damaged}")
    return [*hints, "the videos themselves: re-compressed or resized copies score lower"]
