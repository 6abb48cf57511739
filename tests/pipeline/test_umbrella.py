"""The command `camoe` and the package of that name."""

from __future__ import annotations

import configparser
import os
import re
import subprocess
import sys
from importlib import import_module
from importlib.metadata import entry_points, version
from pathlib import Path

import camoe
import pytest
import yaml
from camoe.cli import COMMANDS, main

ROOT = Path(__file__).parents[2]
PARTS = ("pipeline", "extract", "train", "evaluate")


def _run(*words: str, **environment: str) -> subprocess.CompletedProcess[str]:
    code = "from camoe.cli import main; main()"
    return subprocess.run(
        [sys.executable, "-c", code, *words], capture_output=True, text=True, env=os.environ | environment, timeout=120
    )


def test_it_lists_every_command_that_is_installed() -> None:
    ours = {
        point.name: point.value for point in entry_points(group="console_scripts") if point.name.startswith("camoe")
    }
    listed = {f"camoe-{name}": f"camoe.{module}:main" for name, (module, _) in COMMANDS.items()}
    assert ours == {"camoe": "camoe.cli:main", **listed}


@pytest.mark.parametrize("name", COMMANDS)
def test_what_it_says_of_a_command_is_what_the_command_says(name: str) -> None:
    module, said = COMMANDS[name]
    first = (import_module(f"camoe.{module}").__doc__ or "").splitlines()[0]
    assert first == f"`camoe-{name}`: {said[0].lower()}{said[1:]}"


def test_alone_it_shows_its_help(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([], standalone_mode=False) == 0
    shown = capsys.readouterr().out
    assert main(["--help"], standalone_mode=False) == 0
    assert capsys.readouterr().out == shown
    assert "  extract   Videos and captions become a feature store." in shown


def test_it_forwards(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["train", "--help"], standalone_mode=False) == 0
    assert capsys.readouterr().out.startswith("Usage: camoe train [OPTIONS]")
    assert main(["store", "info", "--help"], standalone_mode=False) == 0
    assert capsys.readouterr().out.startswith("Usage: camoe store info [OPTIONS] PATH")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["exract"], "camoe: there is no command 'exract'; did you mean 'extract'? (camoe --help lists the options)\n"),
        (["--quux"], "camoe: No such option '--quux' (camoe --help lists the options)\n"),
        (["train", "--seed", "x", "--features", "a"], "camoe-train: --seed must be a whole number, not 'x'\n"),
        (["evaluate"], "camoe-evaluate: --run is missing: "),
    ],
)
def test_mistakes_are_told_in_one_line(words: list[str], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main(words)
    assert caught.value.code == 2
    out, err = capsys.readouterr()
    assert (out, err.count("\n")) == ("", 1)
    assert err.startswith(said)


@pytest.mark.parametrize("name", ["", *COMMANDS])
def test_every_command_tells_the_version(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    command = import_module(f"camoe.{COMMANDS[name][0]}").main if name else main
    assert command(["--version"], standalone_mode=False) == 0
    assert capsys.readouterr().out == f"{command.name} {version('camoe')}\n"
    assert camoe.__version__ == version("camoe")


def test_help_loads_nothing_that_takes_long() -> None:
    code = (
        "import sys\nfrom camoe.cli import main\nmain([], standalone_mode=False)\n"
        "print(*(name for name in ('torch', 'numpy', 'pandas', 'h5py') if name in sys.modules), file=sys.stderr)"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=True)
    assert run.stderr == "\n"


def test_help_of_no_command_loads_what_takes_longest() -> None:
    code = (
        "import sys\nfrom importlib import import_module\nfrom camoe.cli import COMMANDS\n"
        "for place, _ in COMMANDS.values(): import_module(f'camoe.{place}')\n"
        "print(*(name for name in ('torch', 'pandas', 'h5py', 'pyarrow', 'matplotlib') if name in sys.modules))"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=True)
    assert run.stdout == "\n"


@pytest.mark.parametrize(
    ("typed", "offered"),
    [
        ("camoe ex", {"extract"}),
        ("camoe ", set(COMMANDS)),
        ("camoe train --loss", {"--loss", "--loss-temperature"}),
        ("camoe train --loss ", {"ce", "dsl"}),
        ("camoe store ver", {"verify"}),
    ],
)
def test_a_shell_can_complete(typed: str, offered: set[str]) -> None:
    words = typed.split(" ")
    run = _run(_CAMOE_COMPLETE="bash_complete", COMP_WORDS=typed, COMP_CWORD=str(len(words) - 1))
    found = {line.partition(",")[2] for line in run.stdout.splitlines()}
    assert offered <= found if typed.endswith("--loss") else offered == found, run


def test_paths_are_completed_by_the_shell() -> None:
    run = _run(_CAMOE_COMPLETE="bash_complete", COMP_WORDS="camoe train --out ru", COMP_CWORD="3")
    assert run.stdout.startswith(("file,", "dir,"))


def test_the_listed_packages_are_those_of_the_folders() -> None:
    config = configparser.ConfigParser()
    config.read(ROOT / "setup.cfg", encoding="utf-8")
    listed = set(config["options"]["packages"].split())
    folders = {
        "camoe." + ".".join(path.parent.relative_to(ROOT).parts)
        for part in PARTS
        for path in (ROOT / part).rglob("__init__.py")
    }
    assert listed == folders - {"camoe.pipeline.root"} | {"camoe"}


def test_the_version_is_the_same_wherever_it_is_told() -> None:
    config = configparser.ConfigParser()
    config.read(ROOT / "setup.cfg", encoding="utf-8")
    stated = config["metadata"]["version"]
    assert yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))["version"] == stated
    assert f"\n## {stated}" in (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")


def test_what_is_supported_is_what_is_checked() -> None:
    """Python's versions in setup.cfg, and the oldest of them in the linters' settings."""
    config = configparser.ConfigParser()
    config.read(ROOT / "setup.cfg", encoding="utf-8")
    told = re.findall(r"Python :: (3\.\d+)", config["metadata"]["classifiers"])
    assert config["options"]["python_requires"] == f">={told[0]}"
    settings = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    assert f'target-version = "py{told[0].replace(".", "")}"' in settings
    assert f'python_version = "{told[0]}"' in settings
