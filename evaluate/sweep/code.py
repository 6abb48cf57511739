"""Which code made a result: two cells are compared in a table only if the same code trained and ranked them."""

from __future__ import annotations

import ast
import functools
import hashlib
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

ROOT = Path(__file__).parents[2]
DECIDING = (
    "train/*.py",
    "train/*/*.py",
    "pipeline/arrays.py",
    "pipeline/ranking.py",
    "pipeline/reranking/*.py",
    "pipeline/scores.py",
    "evaluate/metrics.py",
    "evaluate/ranked.py",
    "evaluate/score_source.py",
    "evaluate/scored.py",
    "evaluate/sweep/training_run.py",
)
"""The files that decide a cell's numbers."""


@functools.cache
def code_version() -> str:
    """`0.1.0-1f2e3d4c`: the package's version, and what its deciding files say besides comments and docstrings."""
    summed = hashlib.sha256()
    for pattern in DECIDING:
        for path in sorted(ROOT.glob(pattern)):
            summed.update(f"{path.relative_to(ROOT).as_posix()}\n{bare(path.read_text(encoding='utf-8'))}".encode())
    try:
        number = version("camoe")
    except PackageNotFoundError:
        number = "0"
    return f"{number}-{summed.hexdigest()[:8]}"


def bare(source: str) -> str:
    """Source without comments, docstrings and layout."""
    tree = ast.parse(source)
    for node in ast.walk(tree):
        body = getattr(node, "body", None)
        if isinstance(body, list):
            kept = [line for line in body if not (isinstance(line, ast.Expr) and isinstance(line.value, ast.Constant))]
            node.body = kept or [ast.Pass()]  # type: ignore[attr-defined]
    return ast.unparse(tree)
