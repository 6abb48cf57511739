"""Expressions by which ffmpeg's `select` filter chooses frames."""

from __future__ import annotations

from .sampling import TIME_TOLERANCE_S


def grid_select(fps: float) -> str:
    """ffmpeg expression: the first frame at or after each grid point, once."""
    return f"if(gt(st(1,floor((t+{TIME_TOLERANCE_S:f})*{fps!r})+1),ld(0)),st(0,ld(1)),0)"


def list_select(targets: list[float]) -> str:
    """The same for the listed times alone."""
    passed = _sum([f"gte(t,{target - TIME_TOLERANCE_S:.6f})" for target in targets])
    return f"if(gt(st(1,{passed}),ld(0)),st(0,ld(1)),0)"


def number_select(numbers: list[int]) -> str:
    """The frames of these numbers, counted from 0."""
    return _sum([f"eq(n,{number})" for number in numbers] or ["0"])


def _sum(terms: list[str]) -> str:
    """A sum with balanced brackets, for ffmpeg refuses expressions that are nested a few hundred deep."""
    half = len(terms) // 2
    return f"({_sum(terms[:half])}+{_sum(terms[half:])})" if half else terms[0]
