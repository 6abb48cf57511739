"""What `--engine` may name: ours, registered ones and those of other packages."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Sequence
from pathlib import Path
from typing import Any

import pytest
from camoe.pipeline import engines
from camoe.pipeline.engines import Engine, Wanted, engine_names, open_engine, register_engine
from camoe.pipeline.engines.local import LocalEngine
from camoe.pipeline.errors import CamoeError


class Mine(Engine):
    def run(
        self,
        make_worker: Callable[[], Any],
        tasks: Sequence[Any],
        lost: Callable[[Any, str], Iterable[Any]] | None = None,
    ) -> Generator[Any, None, None]:
        for task in tasks:
            yield from make_worker().work([task])


@pytest.fixture
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A package with engines, as pip would install it."""
    monkeypatch.setattr(engines, "_REGISTERED", {})
    monkeypatch.syspath_prepend(str(tmp_path))
    folder = tmp_path / "their_engine-1.0.dist-info"
    folder.mkdir()
    (folder / "METADATA").write_text("Metadata-Version: 2.1\nName: their-engine\nVersion: 1.0\n")
    points = "theirs = their_engine:Theirs\nbroken = nowhere:Theirs\nno-class = their_engine:NAME\n"
    (folder / "entry_points.txt").write_text(f"[camoe.engines]\n{points}")
    (tmp_path / "their_engine.py").write_text(
        "from camoe.pipeline.engines.local import LocalEngine\nTheirs = type('Theirs', (LocalEngine,), {})\nNAME = 1\n"
    )


@pytest.mark.usefixtures("installed")
def test_an_engine_of_another_package_is_a_choice() -> None:
    register_engine("mine", Mine)
    assert engine_names() == ("local", "ray", "mine", "theirs", "broken", "no-class")
    assert type(open_engine("theirs", Wanted())).__name__ == "Theirs"
    assert isinstance(open_engine("mine", Wanted()), Mine)
    assert isinstance(open_engine("local", Wanted()), LocalEngine)
    for name, told in (
        ("broken", r"engine broken \(nowhere:Theirs\) cannot be loaded: No module named 'nowhere'"),
        ("no-class", r"engine no-class \(their_engine:NAME\) is not a class made from camoe.pipeline.engines.Engine"),
        ("slurm", "there is no engine 'slurm'; there are local, ray, mine, theirs"),
    ):
        with pytest.raises(CamoeError, match=told):
            open_engine(name, Wanted())


def test_a_name_is_given_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engines, "_REGISTERED", {})
    register_engine("mine", Mine)
    register_engine("mine", Mine)
    for taken in ("mine", "local"):
        with pytest.raises(CamoeError, match=f"there is an engine '{taken}' already"):
            register_engine(taken, LocalEngine if taken == "mine" else Mine)


def test_what_an_engine_has_of_itself(tmp_path: Path) -> None:
    engine = Mine.open(Wanted())
    (tmp_path / "weights.pt").write_bytes(b"\1\2")
    assert engine.room() == 1
    assert engine.send(tmp_path / "weights.pt")().tolist() == [1, 2]
    with pytest.raises(CamoeError, match=r"gone.pt is not there; give a file that all machines see"):
        engine.send(tmp_path / "gone.pt")()
