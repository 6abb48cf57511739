"""The words of texts, for models that compare words with frames: a caption's from the store, a query's encoded."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from ...extract.encoder import Encoder
from ...extract.tokens import TokenSequence
from ...pipeline.store import FeatureStore
from ...train.words import WordTokens


def stored_words(store: FeatureStore, captions: np.ndarray, device: torch.device) -> WordTokens:
    """Those of some of the store's captions alone, by their rows; raises `StoreError` where the store has none."""
    tokens = store.word_tokens
    sentences, row = np.unique(tokens.row[captions], return_inverse=True)
    lengths = np.diff(tokens.offsets)[sentences]
    values = torch.from_numpy(tokens.read(sentences))
    return _on_device(values, torch.from_numpy(lengths), torch.from_numpy(row), tokens.longest, device)


def encoded_words(
    encoder: Encoder, sequences: Sequence[TokenSequence], length: int, device: torch.device
) -> WordTokens:
    """Those of whole queries, by the text tower; `longest` is at least `length`."""
    found = dict(encoder.encode_words(sequences))
    words = [found[place] for place in range(len(sequences))]
    lengths = torch.tensor([len(each) for each in words])
    longest = max(length, int(lengths.max()))
    return _on_device(torch.cat(words), lengths, torch.arange(len(words)), longest, device)


def _on_device(
    values: torch.Tensor, lengths: torch.Tensor, row: torch.Tensor, longest: int, device: torch.device
) -> WordTokens:
    offsets = torch.nn.functional.pad(lengths.cumsum(0), (1, 0))
    return WordTokens(values.to(device), offsets.to(device), row.to(device), longest, raw=True)
