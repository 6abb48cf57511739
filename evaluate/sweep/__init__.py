"""Sweeps: a YAML grid of settings becomes trained and evaluated cells, tables and plots.

from camoe.evaluate.sweep import SweepConfig, sweep
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ...pipeline.lazy import lazy_exports

if TYPE_CHECKING:
    from .config import SweepConfig
    from .run import Outcome, sweep

__all__ = ["Outcome", "SweepConfig", "sweep"]
__getattr__, __dir__ = lazy_exports(__name__, {"Outcome": "run", "SweepConfig": "config", "sweep": "run"})
