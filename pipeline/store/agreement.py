"""Whether what is to be added to a store was made as the rest of it was."""

from __future__ import annotations

from pathlib import Path

from ..config import SettingError
from .schema import StoreSettings

_OF_CONTENT = ("streams", "strategies", "captions_sha256")
"""Settings that may grow or change with the captions; streams of one name must still mean the same."""


def refuse_unlike(out: Path, there: StoreSettings, asked: StoreSettings, *, adding: bool) -> None:
    """Raises `CamoeError` naming each setting of the store `out` that differs from what is asked for.

    `adding` allows new strategies and streams beside the old.
    """
    differences = there.differences(asked, ("in the store", "asked for"), ignore=_OF_CONTENT)
    if there.precisions[0] != asked.precisions[0] and asked.precision in ("fp32", "bf16", "fp16"):
        told = f"{there.precisions[0]} in the store and {asked.precision} asked for"
        differences = [one + " (--mix-precisions allows both)" if one.endswith(told) else one for one in differences]
    ours, theirs = asked.streams or {}, there.streams or {}
    for name in sorted(set(ours) & set(theirs)):
        if ours[name] != theirs[name]:
            differences.append(f"stream {name} is {theirs[name]} in the store and {ours[name]} asked for")
    if not adding and theirs and ours:
        for what, new, old in (
            ("streams", set(ours), set(theirs)),
            ("strategies", set(asked.strategies or ()), set(there.strategies or ())),
        ):
            if new - old:
                old_text, new_text = ",".join(sorted(old)), ",".join(sorted(new))
                differences.append(f"{what} are {old_text} in the store and {new_text} asked for (--into adds)")
    if differences:
        listed = "; ".join(map(_of_setting, differences))
        raise SettingError(
            f"{{store}} was made with other settings: {listed}; use those settings, or another {{out}}", store=out
        )


def _of_setting(difference: str) -> str:
    """Part of a `SettingError`'s template: the first word is the setting."""
    name, _, told = difference.partition(" ")
    return f"{{{name}}} " + told.replace("{", "{{").replace("}", "}}")
