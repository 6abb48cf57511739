"""Everything that can be set about a search."""

from __future__ import annotations

import math
from dataclasses import dataclass, fields
from pathlib import Path

from ...pipeline.config import Config, SettingError, setting
from ...pipeline.errors import CamoeError
from ..names import NONE, ONE_QUERY

SUBSETS = ("train", "val", "test")
AUTO = "auto"
LOOPBACK = ("127.0.0.1", "localhost", "::1")
MOST_LETTERS = 1000
"""A query is a sentence; CLIP reads 77 tokens of it."""
MOST_HITS = 100_000
QUESTION = ("like", "without", "videos_for", "captions_for", "csv", "json", "cutoff", "weights", "top", "rerank")
SERVER = ("port", "host", "token")


@dataclass(frozen=True, kw_only=True)
class SearchConfig(Config):
    """One search, or the page; raises `CamoeError` for values that do not fit or do not go together."""

    run: Path | None = setting(None, help="Run folder whose model searches; none: zero-shot.")
    features: tuple[str, ...] = setting((), help="Feature store; none: the one that the run was trained on.")
    videos: Path | None = setting(
        None, help="Folder of videos that camoe-extract read; none: looked for near the store."
    )
    index: Path | None = setting(
        None, help="For a large store: its index, made by camoe-store export STORE --out FILE.faiss."
    )
    subset: str | None = setting(None, help="Search only the videos of a subset.", choices=SUBSETS)
    protocol: str | None = setting(None, help="Which captions make the subset; none: the run's, or the only one.")

    like: str | None = setting(None, help="Search for videos like this one: an id, or a file.")
    without: str | None = setting(None, flag="--not", help="Text that is subtracted; it counts half.")
    videos_for: str | None = setting(None, help="The same as TEXT: find videos for a text.")
    captions_for: str | None = setting(None, help="Find the store's captions for a video: an id, or a file.")
    top: int = setting(10, help="Most results that are shown.")
    weights: tuple[str, ...] = setting((), help="STREAM=NUMBER,…: shares of the streams; none: the model's.")
    rerank: str = setting(
        NONE, help="Re-ranking of a text's videos, based on the store's training captions.", choices=ONE_QUERY
    )
    cutoff: str | None = setting(
        None, help="Leave out videos with a lower score: a number, or auto for a calibrated one."
    )
    csv: bool = setting(False, help="Print csv instead of a table.")
    json: bool = setting(False, help="Print json: a list of objects.")

    clip: str | None = setting(
        None, help="The store's model, given as to camoe-extract; none: by its name in the store."
    )
    clip_cache: Path | None = setting(None, help="Folder of downloaded weights; none: ~/.cache/clip.")
    stream: tuple[str, ...] = setting(
        (), help="NAME=@wordlist.txt, for a stream that was made from your own list.", repeat=True
    )
    tagger: str | None = setting(None, help="spacy:MODEL, if the store's captions were tagged by it.")
    device: str = setting("auto", help="auto, cpu, cuda or cuda:N.")

    serve: bool = setting(False, help="Open a page to search in, on this machine.")
    port: int = setting(8017, help="Port of the page; 0: any free one.")
    host: str = setting(
        "127.0.0.1", help="Address that the page listens on; any but this machine's own requires a token."
    )
    token: str | None = setting(None, help="Token for another --host; none: a random one, which is printed.")

    def check(self) -> None:
        if not 1 <= self.top <= MOST_HITS:
            raise SettingError.about("top", f"must be from 1 to {MOST_HITS}, not {self.top}")
        if not 0 <= self.port < 1 << 16:
            raise SettingError.about("port", f"must be from 0 to 65535, not {self.port}")
        if self.csv and self.json:
            raise SettingError("{csv} and {json} are two forms; give one of them")
        if self.run is None and not self.features:
            raise SettingError("nothing to search: give {run} RUN, or {features} STORE for zero-shot")
        if self.token is not None and len(self.token) < 16:
            raise SettingError("{token} must have at least 16 letters; leave it out and one is made up")
        for text in (self.without, self.videos_for):
            check_text(text)
        if self.without is not None and not self.without.strip():
            raise SettingError("{without} is empty; say what should not be seen, or leave it out")
        _ = self.cutoff_value, self.stream_weights
        self._check_question()

    def _check_question(self) -> None:
        asked = [name for name in ("like", "videos_for", "captions_for") if getattr(self, name) is not None]
        if len(asked) > 1:
            raise SettingError(f"{{{asked[0]}}} and {{{asked[1]}}} are two searches; give one of them")
        if self.captions_for is not None and (self.without is not None or self.cutoff is not None):
            raise SettingError("{captions_for} reads neither {without} nor {cutoff}; leave them out")
        if self.rerank != NONE and (self.like is not None or self.captions_for is not None):
            raise SettingError("{rerank} is for a text that searches videos; leave it out")
        items = {item.name: item for item in fields(self)}
        for name in QUESTION if self.serve else SERVER:
            if getattr(self, name) != items[name].default:
                rest = "has no effect with {serve}; leave it out" if self.serve else "is about the page; add {serve}"
                raise SettingError(f"{{{name}}} {rest}")

    @property
    def is_loopback(self) -> bool:
        """Whether the page is for this machine alone."""
        return self.host in LOOPBACK

    @property
    def cutoff_value(self) -> float | None:
        """The cut-off as a number; none where it is `auto` or not set."""
        if self.cutoff in (None, AUTO):
            return None
        return parse_cutoff(self.cutoff or "")

    @property
    def stream_weights(self) -> dict[str, float] | None:
        """`weights` as a mapping."""
        return parse_weights(self.weights)


def parse_weights(entries: tuple[str, ...]) -> dict[str, float] | None:
    """`("fusion=1", "entity=0.5")` as a mapping, none where it is empty; raises `CamoeError` for another form.

    `fusion:1` is the same, for addresses, where `=` has a meaning of its own.
    """
    found = {}
    for entry in entries:
        name, _, value = entry.replace(":", "=", 1).partition("=")
        try:
            found[name.strip()] = _finite(value)
        except ValueError:
            raise SettingError.about("weights", f"must be STREAM=NUMBER,…, not {entry!r}") from None
    return found or None


def check_text(text: str | None) -> None:
    """Raises `CamoeError` for a text that is too long to be a query."""
    if text is not None and len(text) > MOST_LETTERS:
        raise CamoeError(f"a query has at most {MOST_LETTERS} letters, this one {len(text)}; shorten it")


def parse_cutoff(text: str) -> float:
    """A cut-off that is a number; raises `CamoeError` for what is none."""
    try:
        return _finite(text)
    except ValueError:
        raise SettingError.about("cutoff", f"must be auto, none or a number, not {text!r}") from None


def _finite(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise ValueError(text)
    return value
