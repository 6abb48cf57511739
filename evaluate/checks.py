"""What a golden check compares with: published zero-shot numbers, and how they were made."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Check:
    """Published text-to-video R@K (percent) of a CLIP file on a protocol's test captions; `source` says whose.

    `tolerance` is in points: other decoders, re-compressed copies and fp16 flip a few of the queries (at 1,000 of them
    ten make one point), a wrong crop, colour order, sampling or caption list many more. `settings` are the store's that
    it is meant for, and `pipeline` says whose they are.
    """

    protocols: tuple[str, ...]
    captions: int
    clip_model: str
    clip_sha256: str
    published: dict[str, float]
    tolerance: float
    settings: dict[str, object]
    source: str = ""
    pipeline: str = ""


CHECKS: dict[str, Check] = {
    "msrvtt-1ka": Check(
        protocols=("msrvtt-1ka-9k", "msrvtt-1ka-7k"),
        captions=1000,
        clip_model="ViT-B/32",
        clip_sha256="40d365715913c9da98579312b702a82c18be219cc2a73407c4526f58eba950af",
        published={"R@1": 31.2, "R@5": 53.7, "R@10": 64.2},
        tolerance=1.5,
        settings={"fps": 1.0, "max_frames": 12, "sampling": "clip4clip"},
        source="A Straightforward Framework For Video Retrieval Using CLIP (arXiv 2102.12443)",
        pipeline="CLIP4Clip's frames and mean pooling (arXiv 2104.08860), for which others quote 30.6/54.4/64.3",
    )
}
