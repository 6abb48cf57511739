from __future__ import annotations

import os
import threading
from pathlib import Path

import pytest
from camoe.evaluate.search.searcher import Searcher
from camoe.evaluate.search.sources import SourceError, VideoFolder

CONTENT = b"sixteen letters."


@pytest.fixture
def root(tmp_path: Path) -> Path:
    root = tmp_path / "videos"
    (root / "sub").mkdir(parents=True)
    (root / "sub" / "a.mp4").write_bytes(CONTENT)
    (tmp_path / "secret.mp4").write_bytes(b"sixteen secrets.")
    return root


def read(root: Path, source: str, size: int = len(CONTENT)) -> bytes:
    descriptor = VideoFolder(root.resolve()).open(source, size)
    try:
        return os.read(descriptor, 100)
    finally:
        os.close(descriptor)


def test_a_source_is_opened(root: Path) -> None:
    assert read(root, "sub/a.mp4") == CONTENT


def test_links_inside_the_folder_are_followed(root: Path) -> None:
    (root / "b.mp4").symlink_to(root / "sub" / "a.mp4")
    (root / "other").symlink_to(root / "sub")
    assert read(root, "b.mp4") == read(root, "other/a.mp4") == CONTENT


@pytest.mark.parametrize("source", ["../secret.mp4", "sub/../../secret.mp4", "{outside}", "", ".", "sub", "a\0.mp4"])
def test_what_is_not_below_the_folder_is_refused(root: Path, source: str) -> None:
    with pytest.raises(SourceError):
        read(root, source.replace("{outside}", str(root.parent / "secret.mp4")))


def test_links_that_lead_out_are_refused(root: Path) -> None:
    (root / "c.mp4").symlink_to(root.parent / "secret.mp4")
    (root / "out").symlink_to(root.parent)
    (root / "loop").symlink_to(root / "loop")
    for source in ("c.mp4", "out/secret.mp4", "loop"):
        with pytest.raises(SourceError):
            read(root, source)


def test_pipes_and_devices_do_not_hang(root: Path) -> None:
    os.mkfifo(root / "pipe.mp4")
    with pytest.raises(SourceError, match="not a regular file"):
        read(root, "pipe.mp4", 0)


def test_a_changed_file_is_told(root: Path) -> None:
    with pytest.raises(SourceError, match=r"has changed since it was extracted \(it had 99 bytes and has 16\)"):
        read(root, "sub/a.mp4", 99)
    with pytest.raises(SourceError, match=r"not in .* any more"):
        read(root, "sub/b.mp4")
    with pytest.raises(SourceError, match="start camoe-search with --videos"):
        VideoFolder(None).open("sub/a.mp4", 16)


def test_a_link_swapped_in_between_never_leads_out(root: Path, soak_count) -> None:
    """Folder and file are swapped for links to the outside all the time: the secret of the same size is never read."""
    stop = threading.Event()
    outside = root.parent / "outside"
    outside.mkdir()
    (outside / "a.mp4").write_bytes(b"sixteen secrets.")

    def swap() -> None:
        while not stop.is_set():
            (root / "sub").rename(root / "away")
            (root / "sub").symlink_to(outside)
            (root / "sub").unlink()
            (root / "away").rename(root / "sub")
            link = root / "sub" / "link"
            link.symlink_to(outside / "a.mp4")
            link.replace(root / "sub" / "a.mp4")
            (root / "sub" / "new").write_bytes(CONTENT)
            (root / "sub" / "new").replace(root / "sub" / "a.mp4")

    swapper = threading.Thread(target=swap)
    swapper.start()
    seen = set()
    try:
        for _ in range(soak_count(1000, 20_000)):
            try:
                seen.add(read(root, "sub/a.mp4"))
            except SourceError:
                seen.add(b"refused")
    finally:
        stop.set()
        swapper.join()
    assert seen == {CONTENT, b"refused"}


def test_the_folder_is_found_near_the_store_or_named(world, tmp_path: Path) -> None:
    assert Searcher.open(None, world.store).folder.root == world.videos.resolve()
    moved = tmp_path / "moved.h5"
    moved.write_bytes(world.store.read_bytes())
    lost = Searcher.open(None, moved)
    assert lost.folder.root is None
    assert "--videos DIR" in lost.folder.doubt
    (other,) = lost.search(like="clip0003", top=1)
    assert other.path == f"{other.id}.mp4"
    named = Searcher.open(None, moved, videos=world.videos)
    assert Path(named.search(like="clip0003")[0].path).is_file()
