from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from camoe.evaluate.cli import main
from camoe.evaluate.result import read_evaluation
from camoe.pipeline.errors import CamoeError

Maker = Callable[..., Path]
EYE = [[1, 0, 0, 0], [0, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]]


@pytest.fixture
def run(store_maker: Maker, run_maker: Maker) -> Path:
    """Four test videos with one caption each: the first two find theirs, the third prefers video 0, and the fourth is
    as near to video 0 as to its own."""
    texts = [[1, 0, 0, 0], [0, 1, 0, 0], [2, 0, 1, 0], [1, 0, 0, 1]]
    return run_maker("run", store_maker("features.h5", texts, EYE, range(4), ["test"] * 4))


def test_the_numbers_are_written_and_printed(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--run", str(run), "--rerank", "none,dsl"], standalone_mode=False) == 0
    path = run / "evaluation" / "features-own-test.json"
    found = json.loads(path.read_text())
    assert list(found["rerankings"]) == ["none", "dsl"]
    raw = found["rerankings"]["none"]
    # ranks of the texts 1, 1, 2, 2; of the videos: 1, 1, 1, 1
    assert raw["t2v"] == {"R@1": 50.0, "R@5": 100.0, "R@10": 100.0, "R@50": 100.0, "MdR": 1.5, "MnR": 1.5}
    assert raw["v2t"] == {"R@1": 100.0, "R@5": 100.0, "R@10": 100.0, "R@50": 100.0, "MdR": 1.0, "MnR": 1.0}
    assert (raw["transductive"], found["rerankings"]["dsl"]["transductive"]) == (False, True)
    assert found["rerankings"]["dsl"]["options"] == {"temperature": 1.0}
    assert found["rerankings"]["dsl"]["t2v"]["R@1"] == 100.0
    assert (found["protocol"], found["subset"], found["v2t"], found["ties"]) == ("own", "test", "c4c", "last")
    assert (found["captions"], found["videos"], found["missing_captions"], found["shortfall"]) == (4, 4, 0, {})
    assert found["store"]["clip_model"] == "made-up"
    assert found["store"]["content_hash"] == json.loads((run / "run.json").read_text())["store"]["content_hash"]
    assert found["training"]["loss"] is None
    out = capsys.readouterr().out
    raw_line, dsl_line = (line for line in out.splitlines() if line.startswith("untrained"))
    assert raw_line.split()[:4] == ["untrained", "none", "50.0", "100.0"]
    assert dsl_line.split()[:4] == ["untrained", "dsl", "*", "100.0"]
    assert "* needs all queries at once" in out
    assert out.rstrip().endswith(str(path))
    assert read_evaluation(path).to_json()["rerankings"] == found["rerankings"]


def test_the_query_bank_is_left_out_where_there_is_none(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--run", str(run)], standalone_mode=False) == 0
    assert "querybank is left out: protocol own has no train captions" in capsys.readouterr().out
    found = read_evaluation(run / "evaluation" / "features-own-test.json")
    assert list(found.rerankings) == ["none", "dsl"]
    assert "querybank" in found.left_out


def test_the_default_has_raw_dsl_and_query_bank(random_run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--run", str(random_run)], standalone_mode=False) == 0
    found = read_evaluation(random_run / "evaluation" / "store-own-test.json")
    assert list(found.rerankings) == ["none", "dsl", "querybank"]
    assert found.rerankings["querybank"]["options"] == {
        "beta": pytest.approx(1.0),
        "k": 1,
        "bank_captions": 120,
        "bank_videos": 60,
    }
    assert found.gap is not None
    assert found.gap["videos"] == 20
    assert "raw R@1 on 20 train / 20 val videos" in capsys.readouterr().out
    assert found.rerankings["none"]["intervals"] is None


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ([], "--run is missing"),
        (["--run", "absent"], "absent is not a run folder"),
        (["--run", "RUN", "--features", "absent.h5"], "absent.h5 does not exist"),
        (["--run", "RUN", "--features", "notes.txt"], "notes.txt"),
        (["--run", "RUN", "--protocol", "msvd"], "the store has no protocol 'msvd'; choose with --protocol: own"),
        (["--run", "RUN", "--subset", "tst"], "--subset must be one of train, val, test, not 'tst'"),
        (["--run", "RUN", "--subset", "val"], "protocol own has no val captions"),
        (["--run", "RUN", "--rerank", "none,dls"], "did you mean 'dsl'"),
        (["--run", "RUN", "--v2t", "mean"], "--v2t must be one of c4c, ce"),
        (["--run", "RUN", "--rerank-temperature", "0"], "--rerank-temperature must be a positive number, not 0.0"),
        (["--run", "RUN", "--compare", "absent"], "absent is not a run folder"),
        (["--run", "RUN", "--compare", "RUN", "--bootstrap", "0"], "--compare needs a bootstrap"),
        (["--run", "RUN", "--trec", "3", "--max-matrix-gb", "1e-9"], "--trec needs the whole matrix"),
        (["--run", "RUN", "--transfer", "RUN", "--ranks"], "--ranks has no effect with --transfer"),
        (["--check", "msrvtt-1ka"], "--check needs a store"),
        (["--check", "msvd", "--features", "features.h5"], "--check must be one of msrvtt-1ka, not 'msvd'"),
        (["--run", "RUN", "--colour"], "No such option"),
    ],
)
def test_wrong_use_is_one_sentence_and_leaves_nothing(
    run: Path,
    arguments: list[str],
    sentence: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "notes.txt").write_text("hello")
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(SystemExit) as caught:
        main([str(run) if word == "RUN" else word for word in arguments])
    assert caught.value.code == 2
    err = capsys.readouterr().err
    assert err.startswith("camoe-evaluate: ")
    assert sentence in err
    assert err.count("\n") == 1
    assert sorted(tmp_path.rglob("*")) == before


def test_the_installed_command(tmp_path: Path) -> None:
    command = shutil.which("camoe-evaluate", path=Path(sys.executable).parent)
    assert command is not None
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    bad = subprocess.run([command, "--run", tmp_path], capture_output=True, text=True, env=environment, check=False)
    assert (bad.returncode, bad.stdout) == (2, "")
    assert bad.stderr.startswith("camoe-evaluate: ")
    assert "Traceback" not in bad.stderr


def test_a_store_that_was_moved(run: Path, tmp_path: Path) -> None:
    (tmp_path / "features.h5").rename(tmp_path / "moved.h5")
    with pytest.raises(CamoeError, match=r"features.h5 that .*run was trained on is not there; name it with"):
        main(["--run", str(run)], standalone_mode=False)
    assert main(["--run", str(run), "--features", str(tmp_path / "moved.h5")], standalone_mode=False) == 0
    assert [path.name for path in (run / "evaluation").glob("*.json")] == ["moved-own-test.json"]


def test_a_store_named_from_another_folder(
    store_maker: Maker, run_maker: Maker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    here, there = tmp_path / "here", tmp_path / "there"
    here.mkdir()
    store_maker("features.h5", EYE, EYE, range(4), ["test"] * 4).rename(here / "features.h5")
    monkeypatch.chdir(here)
    run_maker("here/run", Path("features.h5"))
    monkeypatch.chdir(tmp_path)
    assert main(["--run", "here/run"], standalone_mode=False) == 0
    here.rename(there)
    with pytest.raises(CamoeError, match=r"here/features.h5 that there/run was trained on is not there"):
        main(["--run", "there/run"], standalone_mode=False)
    monkeypatch.chdir(there)
    assert main(["--run", "run"], standalone_mode=False) == 0
