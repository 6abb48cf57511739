"""Sweeps: a YAML grid of settings becomes trained and evaluated cells, tables and plots.

from camoe.evaluate.sweep import SweepConfig, sweep
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .config import SweepConfig
    from .run import Outcome, sweep

_HOMES = {"Outcome": "run", "SweepConfig": "config", "sweep": "run"}

__all__ = ["Outcome", "SweepConfig", "sweep"]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f".{_HOMES[name]}", __name__), name)
