"""A folder that may not be written to: one sentence from every command, exit status 2, nothing left behind."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.metadata import entry_points
from pathlib import Path

import pytest
from camoe.pipeline.atomic import atomic_path, write_atomic
from camoe.pipeline.errors import CamoeError
from camoe.pipeline.store import write_shard
from camoe.pipeline.writable import check_writable

ReadOnly = Callable[[Path], None]


def test_a_folder_that_may_be_written(tmp_path: Path) -> None:
    check_writable(tmp_path / "a.h5")
    check_writable(tmp_path / "new" / "deep" / "a.h5")
    check_writable(tmp_path, inside=True)
    check_writable(tmp_path / "new" / "folder", inside=True)


def test_a_folder_that_may_not(tmp_path: Path, read_only: ReadOnly) -> None:
    read_only(tmp_path)
    for out, inside in ((tmp_path / "a.h5", False), (tmp_path / "x" / "y", True), (tmp_path, True)):
        with pytest.raises(CamoeError) as caught:
            check_writable(out, inside=inside)
        assert str(caught.value) == (
            f"{out} cannot be written: you may not write in the folder {tmp_path}; give another --out"
        )


def test_a_file_where_a_folder_should_be(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(CamoeError, match=r"file/x cannot be written: .*file is not a folder; give another --out"):
        check_writable(tmp_path / "file" / "x")


@pytest.mark.parametrize(
    "command",
    [
        "camoe-extract --captions {here}/c.csv --out {out} --clip tiny",
        "camoe-train --features {store} --out {out}",
        "camoe-sweep --features {store} --grid {here}/g.yaml --out {out}",
        "camoe-store export {store} --out {out}.npz",
        "camoe-store export {store} --out {out}.parquet",
        "camoe-store merge {store} --out {out}.h5",
        "camoe-store merge {store} --out {out}",
        "camoe-store import {here}/features --out {out}.h5 --clip-model x --logit-scale 1",
        "camoe-report {here} --out {out}",
        "camoe-demo --out {out}",
    ],
)
def test_every_command_says_so(
    command: str, tmp_path: Path, make_shard: Callable, read_only: ReadOnly, capsys: pytest.CaptureFixture[str]
) -> None:
    closed, store = tmp_path / "closed", tmp_path / "s.h5"
    closed.mkdir()
    (tmp_path / "features").mkdir()
    (tmp_path / "c.csv").write_text("video_id,caption\na,a dog runs\n")
    (tmp_path / "g.yaml").write_text("base: {model: meanp, streams: fusion, epochs: 1}\ngrid: {loss: [ce]}\n")
    (tmp_path / "sweep.json").write_text("{}")
    (tmp_path / "overview.md").write_text("# Sweep\n")
    write_shard(store, make_shard())
    read_only(closed)
    words = command.format(here=tmp_path, store=store, out=closed / "x").split()
    (entry,) = entry_points(group="console_scripts", name=words[0])
    with pytest.raises(SystemExit) as caught:
        entry.load()(words[1:])
    said = capsys.readouterr().err
    assert caught.value.code == 2, said
    assert f"cannot be written: you may not write in the folder {closed}; " in said
    assert "--out" in said.rpartition(";")[2]
    assert list(closed.iterdir()) == []


@pytest.mark.skipif(not Path("/proc/self").exists(), reason="there is no /proc here")
def test_a_folder_that_takes_no_files_whatever_its_rights_say() -> None:
    with pytest.raises(CamoeError, match=r"^/proc/x cannot be written: .*; give another --out$"):
        check_writable(Path("/proc/x"), inside=True)


def test_adding_to_a_store_advises_what_helps(tmp_path: Path, make_shard: Callable, read_only: ReadOnly) -> None:
    from camoe.extract import ExtractConfig, extract

    (tmp_path / "c.csv").write_text("video_id,caption\na,a dog runs\n")
    closed = tmp_path / "closed"
    closed.mkdir()
    write_shard(closed / "s.h5", make_shard())
    read_only(closed)
    with pytest.raises(CamoeError, match="make it writable, or copy the store to another folder and add to the copy"):
        extract(ExtractConfig(captions=tmp_path / "c.csv", into=closed / "s.h5", clip="tiny"))


def test_what_the_disk_refuses_later_is_told_by_the_name_that_is_known(tmp_path: Path, read_only: ReadOnly) -> None:
    read_only(tmp_path)
    with pytest.raises(PermissionError) as caught:
        write_atomic(tmp_path / "a.json", "{}")
    assert caught.value.filename == str(tmp_path / "a.json")
    with pytest.raises(PermissionError) as caught, atomic_path(tmp_path / "a.parquet") as temporary:
        raise PermissionError(13, f"Failed to open local file '{temporary}'. Detail: [errno 13] Permission denied")
    assert (caught.value.filename, caught.value.strerror) == (str(tmp_path / "a.parquet"), "Permission denied")


@pytest.fixture
def read_only() -> Iterator[ReadOnly]:
    """Makes a folder one that this process may not write to, even where root runs the tests."""
    with _as_anyone(), _reopened() as closed:

        def close(folder: Path) -> None:
            folder.chmod(0o555)
            closed.append(folder)

        yield close


@contextmanager
def _reopened() -> Iterator[list[Path]]:
    closed: list[Path] = []
    yield closed
    for folder in closed:
        folder.chmod(0o755)


@contextmanager
def _as_anyone() -> Iterator[None]:
    """Without root's right to write everywhere, for a while: Linux takes it from the thread and gives it back."""
    if os.geteuid() != 0:
        yield
        return
    import ctypes

    libc = ctypes.CDLL(None, use_errno=True)
    header, before = (ctypes.c_uint32 * 2)(0x20080522, 0), (ctypes.c_uint32 * 6)()
    assert libc.capget(header, before) == 0
    fewer = (ctypes.c_uint32 * 6)(*before)
    fewer[0] &= ~0b110  # the effective ones: CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH
    assert libc.capset(header, fewer) == 0
    try:
        yield
    finally:
        assert libc.capset(header, before) == 0
