"""Which names a store may have."""

from __future__ import annotations

from pathlib import Path

from ..errors import CamoeError

_OTHER_FORMATS = frozenset(
    (
        *(".npz", ".npy", ".parquet", ".csv", ".tsv", ".json", ".jsonl", ".yaml", ".pt", ".pth", ".safetensors"),
        *(".zip", ".tar", ".mp4", ".txt", ".pkl", ".hdf", ".h5py"),
    )
)


def check_store_name(out: Path) -> None:
    """Raises `CamoeError` for a name that promises another format: a store is `NAME.h5`, or a folder of shards."""
    if out.suffix.lower() in _OTHER_FORMATS and not out.is_dir():
        raise CamoeError(
            f"--out {out} promises a {out.suffix} file, and a feature store is NAME.h5 or a folder of shards; give "
            f"{out.with_suffix('.h5')}, or a name without {out.suffix}"
        )
