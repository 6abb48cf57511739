"""Tags: words that a run or a sweep is found by."""

from __future__ import annotations

from collections.abc import Sequence

from .config import SettingError
from .wording import visible

MOST, LONGEST = 32, 64
"""Of a run's tags, and of a tag's letters, as many as loggers take."""


def check_tags(tags: Sequence[str]) -> None:
    """Raise `SettingError` for the setting `tags` where one is empty, too long, unprintable or there twice."""
    if len(tags) > MOST:
        raise SettingError.about("tags", f"has {len(tags)} entries; at most {MOST} are kept")
    for tag in tags:
        if not tag.strip() or len(tag) > LONGEST:
            raise SettingError.about("tags", f"must be of 1 to {LONGEST} letters each, not {len(tag.strip())}")
        if visible(tag) != tag or "\n" in tag or "\t" in tag:
            raise SettingError.about("tags", f"must be plain words, not {tag!r}")
    if len(set(tags)) < len(tags):
        raise SettingError.about("tags", f"names one of {', '.join(tags)} twice; name each once")
