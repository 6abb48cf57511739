"""The reference numbers: the committed subset, and the full set where CAMOE_SHARED names its folder."""

import os
from pathlib import Path

import numpy as np
import pytest

SMALL = Path(__file__).parent.parent / "data" / "reference_small.npz"


def _load(path: Path) -> dict[str, np.ndarray]:
    with np.load(path, allow_pickle=False) as arrays:
        return dict(arrays)


@pytest.fixture(scope="session")
def reference_small() -> dict[str, np.ndarray]:
    return _load(SMALL)


@pytest.fixture(scope="session")
def reference_full() -> dict[str, np.ndarray]:
    if "CAMOE_SHARED" not in os.environ:
        pytest.skip("CAMOE_SHARED is not set: no full reference")
    return _load(Path(os.environ["CAMOE_SHARED"]) / "reference" / "reference.npz")
