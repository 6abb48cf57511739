"""JSON files of ours, which may be damaged: what is wrong is told in words for people, not in those of a codec."""

from __future__ import annotations

import json
import os
from typing import Any

from .regular import read_regular


def read_json(path: str | os.PathLike[str]) -> Any:
    """The value in a file; raises `OSError` where it cannot be read, and `ValueError` as `parse_json` does."""
    return parse_json(read_regular(path))


def parse_json(content: bytes) -> Any:
    """The value in a file's bytes; raises `ValueError` that says from which line on they are no JSON."""
    try:
        return json.loads(content.decode("utf-8"))
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise ValueError(f"line {line} is not text") from None
    except json.JSONDecodeError as error:
        raise ValueError(f"line {error.lineno} is not JSON" if content.strip() else "it is empty") from None
    except RecursionError:
        raise ValueError("it is nested too deep") from None
    except ValueError:
        raise ValueError("it holds a number of too many digits") from None
