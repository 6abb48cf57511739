"""The command that trains a run again."""

from __future__ import annotations

import shlex
from dataclasses import fields, replace

from ..pipeline.config import option_name
from .checkpoint import MAY_CHANGE
from .config import TrainConfig

UNTOLD = (*(name for name in MAY_CHANGE if name != "features"), "device", "threads")
"""Settings that say where and how a run was made, and leave its numbers alone."""


def train_command(config: TrainConfig, protocol: str) -> str:
    """`camoe-train …` for a shell: every setting that is not at its default, but for those in `UNTOLD`."""
    words = ["camoe-train"]
    config = replace(config, protocol=protocol)
    for item in fields(TrainConfig):
        value = getattr(config, item.name)
        if item.name in UNTOLD or value == item.default:
            continue
        option = option_name(item)
        if isinstance(value, bool):
            words.append(option if value else f"--no-{option.removeprefix('--')}")
        elif item.name == "features":
            words += [word for path in value for word in (option, path)]
        else:
            words += [option, ",".join(map(str, value)) if isinstance(value, tuple) else str(value)]
    return shlex.join(words)
