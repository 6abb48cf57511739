from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest
from camoe.pipeline.errors import CamoeError
from camoe.train.cli import main
from camoe.train.names import MODELS


def test_camoe_train_writes_a_run_folder(store_path: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["--features", str(store_path), "--out", str(tmp_path / "run"), "--epochs", "2", "--gate", "full"]
    assert main(arguments, standalone_mode=False) == 0
    out = capsys.readouterr().out
    assert out.startswith(f"{tmp_path / 'run'}  (")
    assert "train: 320 captions of 160 videos, val: 80 captions of 40 videos" in out
    assert "best on val: epoch " in out
    assert re.search(r"s of training on \S+ .*, [\d,]+ examples/s, peak memory [\d,]+ MB", out)
    again = ["--config", str(tmp_path / "run" / "config.yaml"), "--out", str(tmp_path / "again")]
    assert main(again, standalone_mode=False) == 0
    names = ("run", "again")
    first, second = ((tmp_path / name / "model.safetensors").read_bytes() for name in names)
    assert first == second


def test_an_untrained_model_that_is_kept_is_told(
    store_path: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["--features", str(store_path), "--out", str(tmp_path / "run"), "--epochs", "1", "--model", "meanp"]
    assert main([*arguments, "--learning-rate", "1e-12"], standalone_mode=False) == 0
    assert "kept: the untrained model, as no epoch did better on val (40 videos)" in capsys.readouterr().out


def test_a_line_now_and_then_where_there_is_no_terminal(
    store_path: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    arguments = ["--features", str(store_path), "--epochs", "2", "--model", "meanp", "--out"]
    assert main([*arguments, str(tmp_path / "short")], standalone_mode=False) == 0
    told = capsys.readouterr().err
    assert told.startswith("resident auto: device, as the features take ")
    assert "epoch" not in told
    monkeypatch.setattr("camoe.pipeline.progress.LINE_EVERY_S", 0.0)
    assert main([*arguments, str(tmp_path / "long")], standalone_mode=False) == 0
    lines = capsys.readouterr().err.splitlines()
    assert [line.split(",")[0] for line in lines[1:]] == ["epoch 1/2", "epoch 2/2"]
    assert "val R@1" in lines[1]


def test_resume_leaves_a_finished_run_alone(store_path: Path, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    arguments = ["--features", str(store_path), "--out", str(tmp_path / "run"), "--epochs", "1", "--model", "meanp"]
    for _ in range(2):
        assert main([*arguments, "--resume"], standalone_mode=False) == 0
    first, second = capsys.readouterr().out.split(str(tmp_path / "run"))[1:]
    assert first == second
    with pytest.raises(SystemExit) as caught:
        main([*arguments, "--resume", "--text-head", "linear"])
    assert caught.value.code == 2
    assert "run was begun with text_head residual, not linear; " in capsys.readouterr().err


def test_left_out_captions_are_told(
    store_maker: Callable[..., Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    store = store_maker(subsets={"train": 8, "val": 4}, without_features=("v0001",))
    arguments = ["--features", str(store), "--out", str(tmp_path / "run"), "--epochs", "1"]
    with pytest.raises(CamoeError, match="2 of 24 captions of protocol own belong to 1 video without features"):
        main(arguments, standalone_mode=False)
    assert main([*arguments, "--allow-missing"], standalone_mode=False) == 0
    assert "left out: 2 captions without features of the video" in capsys.readouterr().out


def test_wrong_use_leaves_nothing(store_path: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "notes.txt").write_text("hello")
    for features, sentence in (("notes.txt", "notes.txt"), ("absent", "absent does not exist")):
        with pytest.raises(SystemExit) as caught:
            main(["--features", str(tmp_path / features), "--out", str(tmp_path / "run")])
        assert caught.value.code == 2
        err = capsys.readouterr().err
        assert err.startswith("camoe-train: ")
        assert sentence in err
        assert err.count("\n") == 1
    assert [path.name for path in tmp_path.iterdir()] == ["notes.txt"]


def test_help_names_every_choice(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["--help"])
    text = " ".join(capsys.readouterr().out.split())
    for words in (
        "--gate [none|single|full]",
        f"--model [{'|'.join(MODELS)}]",
        "[default: 1000.0]",
    ):
        assert words in text
