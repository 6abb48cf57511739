"""The check holds every head against a twin of the recorded cases, made in numpy at other sizes."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from camoe.pipeline.errors import CamoeError
from camoe.train.heads.check import main
from camoe.train.heads.reference.rerankings import RERANKINGS

from .twin import Arrays, record

SMALL = Path(__file__).parents[2] / "data" / "heads_small.npz"
HEADS = {
    "query-scoring", "afa", "xpool", "tmass", "dicosa", "ti", "wti", "xclip", "emcl", "seqtransf", "meanp"
}  # fmt: skip


@pytest.fixture(scope="module")
def twin() -> Arrays:
    return record(seed=3)


@pytest.fixture
def check(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Callable[[Arrays | Path], tuple[int, list[list[str]]]]:
    """Status, and the words of each line."""

    def run(given: Arrays | Path) -> tuple[int, list[list[str]]]:
        path = given if isinstance(given, Path) else tmp_path / "cases.npz"
        if not isinstance(given, Path):
            np.savez(path, **given)  # type: ignore[arg-type]
        status = main([str(path)], standalone_mode=False)
        return status, [line.split() for line in capsys.readouterr().out.splitlines()]

    return run


Check = Callable[[Arrays | Path], tuple[int, list[list[str]]]]


def test_every_head_equals_its_formula_at_other_sizes(twin: Arrays, check: Check) -> None:
    status, lines = check(twin)
    assert [line for line in lines if line[-1] == "FAILED"] == []
    assert status == 0
    assert {line[0] for line in lines} == HEADS
    told = {tuple(line[1:3]) for line in lines}
    for key in twin:
        case, group, *name = key.split("/")
        if group == "output":
            assert (case, *name) in told
        elif group.startswith("grad"):
            assert (case, f"{group}/{name[0]}") in told
    numbers = [float(line[3]) for line in lines if line[3] != "not"]
    assert max(numbers) < 1e-6
    assert len(lines) - len(numbers) == 1  # what leaks is not compared


@pytest.mark.parametrize(
    "key",
    [
        "query_scoring/output/similarity",
        "query_scoring/grad/frames",
        "xpool_heads3/output/similarity_inference_padded",
        "xpool_heads3/weights/linear_proj.weight",
        "tmass_train/grad_of_loss_total/text",
        "tmass_train/output/loss_support",
        "tmass_eval/output/similarity_text_conditioned_best_trial",
        "tmass_eval/input/noise",
        "dicosa_train/output/decorrelation_loss",
        "dicosa_train/param/temp",
        "ti/output/similarity",
        "wti_arch2/output/text_weight",
        "cdcr3_wti/param/cdcr_alpha2",
        "xclip/output/term_word_frame",
        "xclip/grad/words",
        "afa/output/video_embedding_get_video_output",
        "clip4clip_seqtransf/input/frames",
        "clip4clip_meanp/grad/text",
        "emcl/output/bases_after_momentum_update",
        "emcl/param/beta",
    ],
)
def test_what_is_off_by_a_little_fails(key: str, twin: Arrays, check: Check) -> None:
    case = key.split("/")[0]
    part = {name: value for name, value in twin.items() if name.split("/")[0] == case}
    changed = np.array(part[key], copy=True)
    changed.flat[0] += 1e-4
    status, lines = check(part | {key: changed})
    assert status == 1
    assert any(line[1] == case and line[-1] == "FAILED" for line in lines)


def test_nan_where_a_number_is_expected_fails(twin: Arrays, check: Check) -> None:
    key = "xpool_heads3/output/similarity_inference_padded"
    swapped = np.where(np.isnan(twin[key]), 0.0, twin[key])
    assert np.isnan(twin[key]).any()
    assert check(twin | {key: swapped})[0] == 1


def test_a_case_that_cannot_be_computed_fails_and_says_why(twin: Arrays, check: Check) -> None:
    part = {name: value for name, value in twin.items() if name.startswith("dicosa_train/")}
    status, lines = check({name: value for name, value in part.items() if not name.endswith("weight_fc.2.bias")})
    assert (status, len(lines)) == (1, 1)
    assert " ".join(lines[0]) == "dicosa dicosa_train - not computed (weights lack weight_fc.2.bias) FAILED"
    status, lines = check({name: value for name, value in part.items() if not name.endswith("video_mask")})
    assert "lacks 'video_mask'" in " ".join(lines[0])
    assert status == 1
    assert check(part | {"dicosa_train/output/further": np.ones(2)})[0] == 1


def test_what_is_not_ours_changes_no_status(twin: Arrays, check: Check) -> None:
    other = {"clip4clip_seqlstm/output/similarity": np.ones((2, 2)), "tighter/output/similarity": np.ones(1)}
    part = {name: value for name, value in twin.items() if name.startswith("ti/")}
    status, lines = check(part | other)
    assert status == 0
    assert ["-", "clip4clip_seqlstm", "similarity", "not", "implemented"] in lines
    assert ["-", "tighter", "similarity", "not", "implemented"] in lines


def test_a_re_ranking_is_one_line_of_a_table(check: Check, monkeypatch: pytest.MonkeyPatch) -> None:
    def halved(given: Arrays, param: Arrays) -> Arrays:
        return {"similarity": given["similarity"] / param["by"]}

    monkeypatch.setitem(RERANKINGS, "halved", ("half", halved))
    part = {"halved_twice/input/similarity": np.ones((2, 3)), "halved_twice/param/by": np.asarray(4.0)}
    status, lines = check(part | {"halved_twice/output/similarity": np.full((2, 3), 0.25)})
    assert (status, lines) == (0, [["half", "halved_twice", "similarity", "0"]])
    assert check(part | {"halved_twice/output/similarity": np.full((2, 3), 0.5)})[0] == 1


@pytest.mark.parametrize("file", [SMALL, Path(os.environ.get("CAMOE_SHARED", "/nowhere")) / "reference" / "heads.npz"])
def test_the_published_outputs(file: Path, check: Check) -> None:
    if not file.exists():
        pytest.skip("the full set of recorded cases is not here")
    status, lines = check(file)
    assert status == 0
    assert len(lines) > 30


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "is not there"),
        (b"text", "is not an .npz file"),
        (b"", "is not an .npz file"),
        ({"values": np.ones(2)}, "values is not CASE/input"),
        ({"case/output/names": np.array(["a"])}, "not numbers"),
        ({"case/output/names": np.array([{}])}, "is not an .npz file"),
        ({}, "it is empty"),
    ],
)
def test_a_wrong_file_is_refused_in_a_sentence(content: object, message: str, tmp_path: Path) -> None:
    path = tmp_path / "cases.npz"
    if isinstance(content, bytes):
        path.write_bytes(content)
    elif isinstance(content, dict):
        np.savez(path, **content)
    with pytest.raises(CamoeError, match=message) as error:
        main([str(path)], standalone_mode=False)
    assert error.value.exit_status == 2
    with pytest.raises(SystemExit) as stopped:
        main([str(path)])
    assert stopped.value.code == 2
