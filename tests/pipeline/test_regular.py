"""Pipes, and links that lead round in a circle, in place of the files that are kept: refused, not waited for."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest
from camoe.pipeline.checksum import file_sha256, fingerprint
from camoe.pipeline.config import read_yaml
from camoe.pipeline.errors import CamoeError
from camoe.pipeline.regular import open_lock, read_regular, real_path
from camoe.pipeline.store.manifest import manifest_path, read_manifest


@pytest.mark.parametrize("read", [read_regular, file_sha256, fingerprint, open_lock])
def test_a_pipe_is_refused_at_once(read: Callable[[Path], object], tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(OSError, match="it is not a regular file"):
        read(tmp_path / "pipe")


def test_a_folder_is_named_so(tmp_path: Path) -> None:
    with pytest.raises(IsADirectoryError):
        read_regular(tmp_path)


@pytest.mark.parametrize("damage", ["pipe", "loop", "bytes"])
def test_a_manifest_that_is_none(damage: str, tmp_path: Path) -> None:
    path = tmp_path / "SHA256SUMS"
    if damage == "pipe":
        os.mkfifo(path)
    elif damage == "loop":
        path.symlink_to(path)
    else:
        path.write_bytes(b"abc  \xff\x00\n")
    with pytest.raises(CamoeError, match="SHA256SUMS cannot be read"):
        read_manifest(path)


def test_links(tmp_path: Path) -> None:
    loop, link = tmp_path / "loop.h5", tmp_path / "link.h5"
    loop.symlink_to(loop)
    link.symlink_to(tmp_path / "file.h5")
    assert real_path(link) == tmp_path / "file.h5"
    assert manifest_path(loop).parent == tmp_path


def test_a_config_that_is_a_pipe(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "c.yaml")
    with pytest.raises(CamoeError, match=r"c\.yaml cannot be read: it is not a regular file"):
        read_yaml(tmp_path / "c.yaml", [])
