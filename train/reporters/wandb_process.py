"""The process that wandb runs in: reads what to tell from standard input, writes what went wrong to standard output.

It takes what it is told and looks at nothing else: no console, code, git, packages or state of the machine.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Collection, Iterator
from contextlib import redirect_stdout
from typing import Any

PROJECT = "camoe"
OURS: dict[str, Any] = {
    "console": "off",
    "disable_code": True,
    "disable_git": True,
    "disable_job_creation": True,
    "project": PROJECT,
    "quiet": True,
    "symlink": False,
    "x_disable_machine_info": True,
    "x_disable_meta": True,
    "x_disable_stats": True,
    "x_save_requirements": False,
}
"""Settings of wandb that hold where the user's own say nothing."""


def main() -> int:
    """Exit status 1 where wandb failed."""
    messages = map(json.loads, sys.stdin)
    answers = sys.stdout
    try:
        with redirect_stdout(sys.stderr):  # whatever wandb prints
            log(next(messages), messages)
    except Exception as error:
        answers.write(" ".join(str(error).split()) or type(error).__name__)
        return 1
    return 0


def log(begun: dict[str, Any], messages: Iterator[dict[str, Any]]) -> None:
    """A run from its beginning to the message with its results, or to the end of the messages where it was stopped."""
    import wandb

    named = wandb.setup().settings.model_fields_set
    run = wandb.init(
        settings=wandb.Settings(**settings(named, wandb.Settings.model_fields), root_dir=begun["folder"]),
        id=begun["id"],
        name=begun["name"],
        config=begun["config"],
        tags=begun["tags"],
    )
    results = None
    for message in messages:
        if "results" in message:
            results = message["results"]
            break
        run.log(message["values"], step=message["step"])
    for name, value in (results or {}).items():
        run.summary[name] = value
    run.finish(exit_code=0 if results is not None else 1)


def settings(named: Collection[str], known: Collection[str]) -> dict[str, Any]:
    """Ours of those that this wandb knows, but for those that the user's environment or settings files name.

    Offline where these name no mode.
    """
    ours = {name: value for name, value in OURS.items() if name in known and name not in named}
    return ours if "mode" in named else ours | {"mode": "offline", "silent": True}


if __name__ == "__main__":
    status = main()
    sys.stdout.flush()
    os._exit(status) if status else sys.exit(0)
