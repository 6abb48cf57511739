"""Re-rankings equal the outputs of the published code, and the file alone says what with."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
from camoe.pipeline.reranking.kinds import RERANKINGS
from camoe.pipeline.reranking.published import CASES, outputs, part


@pytest.fixture(scope="module")
def file(shared: Path) -> dict[str, np.ndarray]:
    with np.load(shared / "reference" / "heads.npz", allow_pickle=False) as found:
        return dict(found)


def greatest_difference(ours: np.ndarray, theirs: np.ndarray) -> float:
    assert ours.shape == theirs.shape
    return float(np.max(np.abs(ours.astype(float) - theirs) / np.maximum(1, np.abs(theirs.astype(float)))))


def test_every_output_of_every_case(file: Mapping[str, np.ndarray]) -> None:
    cases = sorted({key.split("/")[0] for key in file})
    found = [line for case in cases for line in outputs(file, case)]
    assert {name for name, *_ in found} == {name for name, _ in CASES.values()} <= RERANKINGS.keys()
    assert len({case for _, case, *_ in found}) == 12
    for name, case, output, ours in found:
        assert ours is not None, (case, output)
        assert greatest_difference(ours, file[f"{case}/output/{output}"]) < 1e-12, (name, case, output)


def test_parameters_and_sizes_come_from_the_file(file: Mapping[str, np.ndarray]) -> None:
    """A twin with another k, alpha and bank, under a name of the same family."""
    twin = {f"nnn_twin/input/{name}": array for name, array in part(file, "nnn", "input").items()}
    bank = twin["nnn_twin/input/bank_similarity"][:9]
    twin |= {
        "nnn_twin/input/bank_similarity": bank,
        "nnn_twin/param/k": np.array(2),
        "nnn_twin/param/alpha": np.array(0.3),
    }
    twin |= {"nnn_twin/output/similarity": np.array(0), "nnn_twin/output/unheard_of": np.array(0)}
    (_, _, _, scores), (*_, nothing) = outputs(twin, "nnn_twin")
    expected = twin["nnn_twin/input/similarity"] - 0.3 * np.sort(bank, axis=0)[-2:].mean(0)
    np.testing.assert_allclose(scores, expected, atol=1e-15)
    assert nothing is None


def test_other_cases_are_not_taken_for_re_rankings() -> None:
    for case in ("xpool", "dnn", "nnnn", "tmass_eval", "dualism"):
        assert list(outputs({f"{case}/output/similarity": np.zeros(1)}, case)) == []
