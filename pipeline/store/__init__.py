"""The feature store: HDF5 shards that describe themselves (docs/store.md)."""

from .reader import FeatureStore, find_shards
from .safe_open import StoreError
from .schema import (
    DAMAGED,
    OK,
    SUBSETS,
    Captions,
    Shard,
    StoreSettings,
    TextTable,
    Videos,
    subset_code,
)
from .shortfall import describe_shortfall
from .writer import shard_bytes, write_shard

__all__ = [
    "DAMAGED",
    "OK",
    "SUBSETS",
    "Captions",
    "FeatureStore",
    "Shard",
    "StoreError",
    "StoreSettings",
    "TextTable",
    "Videos",
    "describe_shortfall",
    "find_shards",
    "shard_bytes",
    "subset_code",
    "write_shard",
]
