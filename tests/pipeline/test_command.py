from __future__ import annotations

import errno
from dataclasses import dataclass
from pathlib import Path

import click
import pytest
from camoe.pipeline.command import camoe_command, camoe_group, options_from
from camoe.pipeline.config import Config, setting
from camoe.pipeline.errors import CamoeError


@dataclass(frozen=True, kw_only=True)
class ExampleConfig(Config):
    features: tuple[str, ...] = setting(help="The feature store.")
    loss_temperature: float = setting(1000.0, help="Of the prior.")
    gate: str = setting("single", help="How experts are mixed.", choices=("none", "single"))
    shuffle: bool = setting(False, help="A control.")
    epochs: int = setting(1, help="Passes.")
    out: Path | None = setting(None, help="The run folder.", flag="--to")
    stream: tuple[str, ...] = setting((), help="NAME=TAG,TAG.", repeat=True)


seen: list[ExampleConfig] = []
failure: list[BaseException] = []


@camoe_command("camoe-example")
@options_from(ExampleConfig)
def main(config: ExampleConfig) -> int | None:
    """Show what the options came to."""
    seen.append(config)
    if failure:
        raise failure.pop()
    return config.epochs - 1


def status_of(arguments: list[str]) -> int:
    with pytest.raises(SystemExit) as caught:
        main(arguments)
    return int(caught.value.code or 0)


def test_options_become_a_config(tmp_path: Path) -> None:
    (tmp_path / "c.yaml").write_text("loss_temperature: 10\nshuffle: true\ngate: none\n")
    arguments = ["--features", "a.h5,b.h5", "--features", "c.h5", "--stream", "s=A,B", "--stream", "t=C"]
    arguments += ["--config", str(tmp_path / "c.yaml"), "--gate", "single", "--to", "runs/x", "--no-shuffle"]
    assert main(arguments, standalone_mode=False) == 0
    assert seen[-1] == ExampleConfig(
        features=("a.h5", "b.h5", "c.h5"),
        loss_temperature=10.0,
        gate="single",
        out=Path("runs/x"),
        stream=("s=A,B", "t=C"),
    )


def test_defaults_and_values_equal_to_defaults(tmp_path: Path) -> None:
    main(["--features", "a"], standalone_mode=False)
    assert seen[-1] == ExampleConfig(features=("a",))
    (tmp_path / "c.yaml").write_text("loss_temperature: 10\n")
    main(
        ["--features", "a", "--config", str(tmp_path / "c.yaml"), "--loss-temperature", "1000"],
        standalone_mode=False,
    )
    assert seen[-1].loss_temperature == 1000.0


@pytest.mark.parametrize(
    ("words", "features", "stream"),
    [
        (["--features", "a.h5", "b.h5", "c.h5"], ("a.h5", "b.h5", "c.h5"), ()),
        (["--features", "a.h5", "b.h5", "--epochs", "1", "--features", "c.h5"], ("a.h5", "b.h5", "c.h5"), ()),
        (["--features=a.h5", "b.h5", "--stream", "s=A,B", "t=C"], ("a.h5", "b.h5"), ("s=A,B", "t=C")),
        (["--features", "a.h5,", "b.h5", "--shuffle"], ("a.h5", "b.h5"), ()),
        (["--features", "-odd.h5", "b.h5"], ("-odd.h5", "b.h5"), ()),
    ],
)
def test_words_after_a_list_belong_to_it(words: list[str], features: tuple[str, ...], stream: tuple[str, ...]) -> None:
    main(words, standalone_mode=False)
    assert (seen[-1].features, seen[-1].stream) == (features, stream)


def test_underscores_are_dashes() -> None:
    main(["--features", "a", "--loss_temperature", "10", "--no_shuffle", "--to=a_b"], standalone_mode=False)
    assert (seen[-1].loss_temperature, seen[-1].out) == (10.0, Path("a_b"))


def test_help_shows_defaults_and_choices(capsys: pytest.CaptureFixture[str]) -> None:
    assert status_of(["--help"]) == 0
    text = " ".join(capsys.readouterr().out.split())
    assert "--loss-temperature NUMBER Of the prior. [default: 1000.0]" in text
    assert "--gate [none|single] How experts are mixed. [default: single]" in text
    assert "--shuffle / --no-shuffle A control. [default: false]" in text
    assert "--features TEXT,… The feature store. [required]" in text
    assert "--epochs INTEGER Passes. [default: 1]" in text
    assert "--to PATH The run folder. [default: none]" in text


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (
            ["--features", "a", "--gate", "sinlge"],
            "--gate must be one of none, single, not 'sinlge'; did you mean",
        ),
        (["--features", "a", "--loss-temperature", "x"], "--loss-temperature must be a number, not 'x'"),
        (["--features", "a", "--epochs", "1.5"], "--epochs must be a whole number, not '1.5'"),
        (["--features", "a", "--los-temperature", "1"], "No such option '--los-temperature'; did you mean --loss-temp"),
        (["--features", "a", "--lt", "1"], "No such option '--lt'; did you mean --loss-temperature?"),
        (["--features", "a", "--temperature", "1"], "No such option '--temperature'; did you mean --loss-temperature?"),
        (["--features", "a", "--epoch", "1"], "No such option '--epoch'; did you mean --epochs?"),
        (["--features", "a", "--quux", "1"], "No such option '--quux' (camoe-example --help lists the options)"),
        (["--features", "a", "--to", "x", "y"], "Got unexpected extra argument (y)"),
        (["--features"], "Option '--features' requires an argument (camoe-example --help lists the options)"),
        (["stray", "--features", "a"], "Got unexpected extra argument (stray)"),
        ([], "--features is missing: The feature store."),
    ],
)
def test_wrong_use_is_one_line_and_status_2(
    arguments: list[str], line: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert status_of(arguments) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("camoe-example: ")
    assert line in err
    assert err.count("\n") == 1
    with pytest.raises(CamoeError):
        main(arguments, standalone_mode=False)


@pytest.mark.parametrize(
    ("error", "status", "line"),
    [
        (CamoeError("x.h5 is\nnot a store"), 2, "camoe-example: x.h5 is not a store\n"),
        (
            OSError(errno.ENOSPC, "No space left on device", "/x/y"),
            1,
            "camoe-example: No space left on device: /x/y\n",
        ),
        (MemoryError(), 1, "camoe-example: out of memory\n"),
        (
            EOFError("No data left in file"),
            1,
            "camoe-example: a file or a process ended before it should have (No data left in file)\n",
        ),
        (KeyboardInterrupt(), 130, "camoe-example: interrupted\n"),
    ],
)
def test_failures_are_one_line_and_a_status(
    error: BaseException, status: int, line: str, capsys: pytest.CaptureFixture[str]
) -> None:
    failure.append(error)
    assert status_of(["--features", "a"]) == status
    assert capsys.readouterr().err.strip("\n") == line.strip("\n")


def test_the_functions_value_is_the_status() -> None:
    assert status_of(["--features", "a", "--epochs", "4"]) == 3
    assert main(["--features", "a", "--epochs", "4"], standalone_mode=False) == 3
    failure.append(KeyboardInterrupt())
    with pytest.raises(KeyboardInterrupt):
        main(["--features", "a"], standalone_mode=False)


def test_bugs_are_not_hidden() -> None:
    failure.append(ZeroDivisionError("a bug"))
    with pytest.raises(ZeroDivisionError):
        main(["--features", "a"])


@camoe_group("camoe-group")
def group() -> None:
    """Several commands."""


@group.command()
@click.option("--count", type=int, required=True)
def show(count: int) -> int:
    """Return or raise."""
    if count < 0:
        raise CamoeError("no negative\ncounts")
    return count


def test_a_group(capsys: pytest.CaptureFixture[str]) -> None:
    assert group(["show", "--count", "0"], standalone_mode=False) == 0
    assert group(["show", "--count", "3"], standalone_mode=False) == 3
    for arguments, status, message in (
        (["show", "--count", "3"], 3, ""),
        (["show", "--count", "-1"], 2, "camoe-group: no negative counts\n"),
        (["show", "--count", "x"], 2, "is not a valid integer (camoe-group show --help lists the options)\n"),
        (["show"], 2, "Missing option '--count' (camoe-group show --help lists the options)\n"),
        ([], 2, "camoe-group: Missing command (camoe-group --help lists the options)\n"),
    ):
        with pytest.raises(SystemExit) as caught:
            group(arguments)
        assert caught.value.code == status
        assert capsys.readouterr().err.endswith(message)
    assert group(["--help"], standalone_mode=False) == 0
    assert "show  Return or raise." in capsys.readouterr().out


def test_an_interrupt_says_how_to_go_on(capsys: pytest.CaptureFixture[str]) -> None:
    @camoe_command("camoe-long", go_on="the same command goes on")
    def long() -> None:
        raise KeyboardInterrupt

    with pytest.raises(SystemExit) as caught:
        long([])
    assert caught.value.code == 130
    assert capsys.readouterr().err.strip() == "camoe-long: interrupted; the same command goes on"
