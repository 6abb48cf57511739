"""The feature store: HDF5 shards that describe themselves (docs/store.md)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..lazy import lazy_exports

if TYPE_CHECKING:
    from .arrays import store_from_arrays
    from .reader import FeatureStore, find_shards
    from .safe_open import StoreError
    from .schema import (
        DAMAGED,
        OK,
        SUBSETS,
        Captions,
        Failure,
        Shard,
        StoreSettings,
        TextTable,
        TokenTable,
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
    "Failure",
    "FeatureStore",
    "Shard",
    "StoreError",
    "StoreSettings",
    "TextTable",
    "TokenTable",
    "Videos",
    "describe_shortfall",
    "find_shards",
    "shard_bytes",
    "store_from_arrays",
    "subset_code",
    "write_shard",
]

_IN_SCHEMA = "DAMAGED OK SUBSETS Captions Failure Shard StoreSettings TextTable TokenTable Videos subset_code"
__getattr__, __dir__ = lazy_exports(
    __name__,
    dict.fromkeys(_IN_SCHEMA.split(), "schema")
    | {
        "FeatureStore": "reader",
        "find_shards": "reader",
        "StoreError": "safe_open",
        "describe_shortfall": "shortfall",
        "store_from_arrays": "arrays",
        "shard_bytes": "writer",
        "write_shard": "writer",
    },
)
