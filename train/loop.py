"""Where training was before `run.py`: the same names, so that `camoe.train.loop.fit` keeps working."""

from __future__ import annotations

from .describe import cost_record, features_record, outcome_record, store_record
from .run import cpu_threads, fit

__all__ = ["cost_record", "cpu_threads", "features_record", "fit", "outcome_record", "store_record"]
