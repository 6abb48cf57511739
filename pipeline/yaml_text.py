"""YAML that a stranger may have written, read within bounds."""

from __future__ import annotations

from typing import Any

import yaml

MAX_CHARACTERS = 1 << 20
MAX_DEPTH = 20
MAX_NODES = 100_000
"""Values in a file, those counted again that an alias repeats: nine lines of aliases can stand for a billion."""
MAX_PLAIN = 5_000
"""Characters of a value without quotes: one that looks like a number is computed, which takes its length squared."""

_LOADER: type = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


def load_yaml(text: str) -> Any:
    """The value of a YAML text; raises `ValueError` with a reason for one that is malformed, too deep or too large."""
    if len(text) > MAX_CHARACTERS:
        raise ValueError(f"it has more than {MAX_CHARACTERS:,} characters")
    try:
        _check_size(text)
        return yaml.load(text, Loader=_LOADER)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        place = f"line {mark.line + 1}, column {mark.column + 1}: " if mark else ""
        raise ValueError(f"{place}{error.problem or error.context}") from None
    except yaml.reader.ReaderError as error:
        raise ValueError(f"it holds the character {chr(error.character)!r}, which is not text") from None
    except yaml.YAMLError as error:
        raise ValueError(" ".join(str(error).split())) from None
    except (ValueError, OverflowError, TypeError, KeyError, AttributeError, IndexError) as error:
        raise ValueError(f"it holds a value that cannot be read ({error})") from None


def _check_size(text: str) -> None:
    """Walk through the text's events, which cost no memory, before anything is built of them."""
    sizes: dict[str, int] = {}
    open_nodes: list[tuple[str | None, int]] = [(None, 0)]
    for event in yaml.parse(text, Loader=_LOADER):
        if isinstance(event, yaml.CollectionStartEvent):
            open_nodes.append((event.anchor, 0))
            if len(open_nodes) > MAX_DEPTH:
                raise yaml.YAMLError(f"it is nested more than {MAX_DEPTH} levels deep")
            continue
        if isinstance(event, yaml.CollectionEndEvent):
            anchor, size = open_nodes.pop()
        elif isinstance(event, yaml.AliasEvent):
            if event.anchor not in sizes:
                raise yaml.YAMLError(f"the alias *{event.anchor} stands for nothing, or for itself")
            anchor, size = None, sizes[event.anchor]
        elif isinstance(event, yaml.ScalarEvent):
            anchor, size = event.anchor, 0
            if event.implicit[0] and len(event.value) > MAX_PLAIN:
                raise yaml.YAMLError(f"it holds a number or word of more than {MAX_PLAIN:,} characters; quote it")
        else:
            continue
        if anchor is not None:
            sizes[anchor] = size + 1
        outer, count = open_nodes.pop()
        if count + size + 1 > MAX_NODES:
            raise yaml.YAMLError(f"it unfolds to more than {MAX_NODES:,} values")
        open_nodes.append((outer, count + size + 1))
