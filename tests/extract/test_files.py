from pathlib import Path

import pytest
from camoe.extract.files import find_videos
from camoe.pipeline.errors import CamoeError


def touch(folder: Path, *names: str) -> None:
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"x")


def test_ids_are_relative_paths_without_suffix(tmp_path: Path) -> None:
    touch(tmp_path, "b.mp4", "film/a.AVI", "film/v1.2.webm", "notes.txt", "._b.mp4")
    found = find_videos(tmp_path)
    assert [file.id for file in found] == ["b", "film/a", "film/v1.2"]
    assert found[1].path == tmp_path / "film" / "a.AVI"


def test_one_id_twice_is_refused_naming_both(tmp_path: Path) -> None:
    touch(tmp_path, "a.mp4", "a.avi")
    with pytest.raises(CamoeError, match=r"a\.avi and .*a\.mp4 have one id \('a'\)"):
        find_videos(tmp_path)


def test_a_loop_of_links_ends(tmp_path: Path) -> None:
    touch(tmp_path, "in/a.mp4")
    (tmp_path / "in" / "again").symlink_to(tmp_path)
    assert [file.id for file in find_videos(tmp_path)] == ["in/a"]


def test_odd_entries_are_listed(tmp_path: Path) -> None:
    touch(tmp_path, "-rf.mp4", "a b:%d\n.mp4", "éü.mp4")
    (tmp_path / "folder.mp4").mkdir()
    (tmp_path / "broken.mp4").symlink_to("nowhere")
    assert [file.id for file in find_videos(tmp_path)] == ["-rf", "a b:%d\n", "broken", "folder", "éü"]


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda folder: folder / "absent", "does not exist"),
        (lambda folder: folder / "file", "is not a folder"),
        (lambda folder: folder / "empty", "holds no video"),
    ],
)
def test_wrong_folders(tmp_path: Path, make, message: str) -> None:
    touch(tmp_path, "file")
    (tmp_path / "empty").mkdir()
    with pytest.raises(CamoeError, match=message):
        find_videos(make(tmp_path))
