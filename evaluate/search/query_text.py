"""Queries in words -> what the model compares: read as the run's captions were, by the store's own text tower."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import torch

from ...extract.analyse import analyse
from ...extract.clip_tokens import CLIP_TOKENS
from ...extract.encoder import Encoder
from ...extract.encoders import file_form, has_family, is_named, load_encoder, missing_family
from ...extract.query_tower import QueryTower
from ...extract.store_streams import streams_beside
from ...extract.strategies import read_caption, read_whole
from ...extract.streams import Selector, selectors
from ...extract.text_tokens import Caption, Tokens
from ...extract.tokens import TokenSequence
from ...extract.words import WordTagger, load_tagger
from ...pipeline.errors import CamoeError
from ...pipeline.store import StoreSettings
from ...pipeline.store.schema import FULL, FUSION
from ...pipeline.wording import short_hash
from ...train.words import WordTokens
from .query_words import encoded_words
from .records import Reading

IMPORTED = "imported"


@dataclass(frozen=True)
class TextOptions:
    """How queries are read, where the store itself does not say.

    `clip` is a name or a weights file, `clip_cache` where those by name lie; `streams` (`NAME=…`) and `tagger` are as
    for camoe-extract.
    """

    clip: str | None = None
    clip_cache: Path | None = None
    device: str = "auto"
    streams: tuple[str, ...] = ()
    tagger: str | None = None


@dataclass
class QueryReader:
    """Reads queries by `strategies` (stream -> strategy); the tower and the tagger are loaded when first needed.

    `settings` are the store's. Raises `CamoeError` where a stream's words, its tagger or the tower cannot be had.
    """

    settings: StoreSettings
    strategies: Mapping[str, str]
    options: TextOptions = field(default_factory=TextOptions)

    def read(self, text: str) -> list[Reading]:
        """The words of a query as each stream reads them."""
        return [reading for reading, _ in self._read(text)]

    def encode(self, texts: Sequence[str]) -> torch.Tensor:
        """`M` queries -> sentence embeddings `(S, M, D)` float32 on the CPU, not normalised."""
        sequences = [[sequence for _, sequence in self._read(text)] for text in texts]
        distinct = list(dict.fromkeys(sequence for row in sequences for sequence in row))
        embedded = dict(zip(distinct, self._query_tower.encode_tokens(distinct), strict=True))
        return torch.stack([torch.stack([embedded[row[place]] for row in sequences]) for place in range(self._count)])

    def encode_words(self, texts: Sequence[str], length: int) -> WordTokens:
        """The words of `M` whole queries on the CPU; `length` as for `encoded_words`."""
        sequences = [read_whole(text, self._tokens) for text in texts]
        return encoded_words(self.tower, sequences, length, torch.device("cpu"))

    @property
    def _count(self) -> int:
        return len(self.strategies)

    def _read(self, text: str) -> list[tuple[Reading, TokenSequence]]:
        caption = analyse(text, self._tagger, self._tokens)
        if not caption.words:
            raise CamoeError("the query is empty; type what the video should show")
        return [_read_stream(caption, name, strategy, self._selectors) for name, strategy in self.strategies.items()]

    @cached_property
    def tower(self) -> Encoder:
        """The text tower that the store's features were made with; another is refused."""
        wanted = self.settings.clip_sha256
        precision = "fp32" if self.settings.precisions[0] == "fp32" else "auto"
        clip = self.options.clip or self._own_clip()
        encoder = load_encoder(clip, self.options.device, precision, self.options.clip_cache)
        known = {encoder.weights.identity}
        if self.settings.sampling == IMPORTED:  # who imports features tells the hash of the weights file
            known.add(encoder.weights.sha256)
        if wanted not in known:
            raise CamoeError(
                f"--clip {encoder.weights.name} is another CLIP ({short_hash(encoder.weights.identity)}) than the "
                f"store's; give the weights of {self.settings.clip_model} with SHA-256 {short_hash(wanted)}"
            )
        return encoder

    @cached_property
    def _tokens(self) -> Tokens:
        """The tower's; for OpenAI's models, and what was imported, without loading it."""
        return self.tower.tokens if has_family(self.options.clip or self.settings.clip_model) else CLIP_TOKENS

    @cached_property
    def _query_tower(self) -> QueryTower:
        return QueryTower(self.tower)

    def _own_clip(self) -> str:
        name = self.settings.clip_model
        if not is_named(name):
            family = missing_family(name)
            or_else = f", or install the package that brings the encoders {family}" if family is not None else ""
            raise CamoeError(
                f"the store's features are of {name}, which is no name that is known here; name the file of its "
                f"weights with --clip {file_form(name)} (SHA-256 {short_hash(self.settings.clip_sha256)}){or_else}"
            )
        return name

    @cached_property
    def _masked(self) -> list[str]:
        """The streams that leave words out."""
        return [name for name, strategy in self.strategies.items() if name != FUSION and strategy != FULL]

    @cached_property
    def _selectors(self) -> Mapping[str, Selector]:
        if not self._masked:
            return {}
        there = self.settings.streams or {}
        found = selectors(
            streams_beside(self.options.streams, {name: there[name] for name in self._masked if name in there})
        )
        for name in self._masked:
            if name not in found or (there.get(name) == IMPORTED and not self._is_given(name)):
                raise CamoeError(f"nothing says which words belong to stream {name}; say it: --stream {name}=NOUN,VERB")
        return found

    def _is_given(self, stream: str) -> bool:
        return any(spec.partition("=")[0].strip() == stream for spec in self.options.streams)

    @cached_property
    def _tagger(self) -> WordTagger | None:
        if not self._masked:
            return None
        wanted, asked = self.settings.tagger, self.options.tagger
        if asked is None and wanted is not None and wanted.startswith("spacy"):
            raise CamoeError(f"the store's captions were tagged by {wanted}; name that model with --tagger spacy:MODEL")
        tagger = load_tagger(asked or "hanta")
        if wanted not in (None, IMPORTED, tagger.name):
            raise CamoeError(
                f"the store's captions were tagged by {wanted}, queries would be by {tagger.name}; give --tagger"
            )
        return tagger


def _read_stream(
    caption: Caption, stream: str, strategy: str, chosen: Mapping[str, Selector]
) -> tuple[Reading, TokenSequence]:
    selector = None if stream == FUSION or strategy == FULL else chosen[stream]
    read = read_caption(caption, strategy, selector)
    keep = [True] * len(caption.words) if selector is None or read.fell_back else selector(caption)
    words = tuple(word.text for word in caption.words)
    return Reading(stream, strategy, read.sentence, words, tuple(keep), read.fell_back), read.sequence
