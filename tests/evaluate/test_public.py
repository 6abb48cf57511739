"""The public surface: there, cheap to import, and its plain names those of the code behind it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import camoe.evaluate
import camoe.evaluate.sweep
import numpy as np
import pytest
from camoe.evaluate.names import RERANKINGS, SUBSET_NAMES, V2T_NAMES
from camoe.evaluate.rerank import RERANKERS
from camoe.pipeline.errors import CamoeError
from camoe.pipeline.ranking import V2T_CONVENTIONS
from camoe.pipeline.store import SUBSETS

HEAVY = ("torch", "pandas", "matplotlib", "h5py")


def test_names_that_commands_list_without_loading_what_is_behind_them() -> None:
    assert list(RERANKINGS) == list(RERANKERS)
    assert list(V2T_NAMES) == list(V2T_CONVENTIONS)
    assert list(SUBSET_NAMES) == list(SUBSETS)


@pytest.mark.parametrize("package", [camoe.evaluate, camoe.evaluate.sweep])
def test_what_is_listed_is_there(package) -> None:
    for name in package.__all__:
        assert getattr(package, name).__doc__
    with pytest.raises(AttributeError, match="has no attribute 'retreival_metrics'"):
        package.retreival_metrics  # noqa: B018


@pytest.mark.parametrize(
    "code",
    [
        "import camoe.evaluate, camoe.evaluate.sweep",
        "from camoe.evaluate.cli import main; main(['--help'], standalone_mode=False)",
        "from camoe.evaluate.sweep.cli import main; main(['--help'], standalone_mode=False)",
    ],
)
def test_nothing_heavy_is_loaded_before_work_begins(code: str) -> None:
    told = f"{code}; import sys; sys.exit(' '.join(name for name in {HEAVY} if name in sys.modules) or 0)"
    done = subprocess.run([sys.executable, "-c", told], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


def test_our_folder_is_not_taken_for_the_library_of_its_name() -> None:
    root = Path(camoe.evaluate.__file__).parents[1]
    words = [sys.executable, "-c", "import evaluate"]
    done = subprocess.run(words, cwd=root, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "`import evaluate` found CAMoE's folder of that name" in done.stderr.splitlines()[-1]


def test_array_functions_raise_what_python_programmers_catch() -> None:
    for call in (
        lambda: camoe.evaluate.retrieval_metrics(np.full((2, 2), np.nan)),
        lambda: camoe.evaluate.dual_softmax(np.eye(2), temperature=0),
        lambda: camoe.evaluate.query_bank(np.eye(2), np.eye(3), beta=1.0),
        lambda: camoe.evaluate.summarise_ranks(np.array([0])),
        lambda: camoe.evaluate.bootstrap_intervals(np.array([1]), resamples=0),
    ):
        with pytest.raises(ValueError, match=r"\w") as caught:
            call()
        assert isinstance(caught.value, CamoeError)
