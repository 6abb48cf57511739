"""How a frame of any shape becomes the square that an encoder takes."""

from __future__ import annotations

from dataclasses import dataclass

SHORTEST, LONGEST, SQUASH = "shortest", "longest", "squash"
MODES = (SHORTEST, LONGEST, SQUASH)
INTERPOLATIONS = ("bicubic", "bilinear")


@dataclass(frozen=True)
class Resize:
    """`shortest`: the shorter side fits and the centre is cropped; `longest`: the longer side fits and the rest is
    filled with grey of `fill`, 0 is black; `squash`: both sides fit, whatever becomes of the proportions.
    """

    mode: str = SHORTEST
    interpolation: str = "bicubic"
    fill: int = 0

    def __post_init__(self) -> None:
        if self.mode not in MODES or self.interpolation not in INTERPOLATIONS:
            raise ValueError(f"no such way to resize: {self.mode}, {self.interpolation}")


CLIP_RESIZE = Resize()
"""As OpenAI's models were trained with."""
