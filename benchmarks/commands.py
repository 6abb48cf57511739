"""The package's commands as a user starts them, each in a process of its own."""

from __future__ import annotations

import subprocess
import sys
import time


def seconds(module: str, *arguments: object) -> float:
    """How long the command of a module takes, start-up included."""
    words = [sys.executable, "-c", f"from {module} import main; main()", *map(str, arguments)]
    start = time.perf_counter()
    subprocess.run(words, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    return time.perf_counter() - start
