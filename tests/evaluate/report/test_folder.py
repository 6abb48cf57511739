"""The folder of a report: one writer at a time, nothing of anybody else's touched, no page without its pictures."""

from __future__ import annotations

from pathlib import Path

import pytest
from camoe.evaluate.report.config import ReportConfig
from camoe.evaluate.report.folder import MARK, check_out, remove_unused, report_folder, write_page
from camoe.evaluate.report.run import report
from camoe.pipeline.errors import CamoeError

PICTURE, OTHER = "0123456789abcdef0123.jpg", "f" * 20 + ".jpg"


@pytest.fixture
def sweep(tmp_path: Path) -> Path:
    """A report of it takes milliseconds."""
    folder = tmp_path / "sweep"
    folder.mkdir()
    (folder / "sweep.json").write_text("{}")
    (folder / "overview.md").write_text("# Sweep mine\n")
    return folder


def _pictures(out: Path, *names: str) -> Path:
    (out / "pictures").mkdir(parents=True)
    for name in names:
        (out / "pictures" / name).write_bytes(b"x")
    return out / "pictures"


def test_a_second_report_into_one_folder_is_refused_while_the_first_is_written(sweep: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    with report_folder(out):
        with pytest.raises(CamoeError, match=r"another report is being written to .*out; wait for it to end, or name"):
            report([sweep], ReportConfig(out=out))
        assert not (out / "index.html").exists()
    assert report([sweep], ReportConfig(out=out)).is_file()
    assert [path.name for path in out.iterdir()] == ["index.html"]


def test_a_folder_of_which_nothing_came_is_gone(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt), report_folder(tmp_path / "a" / "b"):
        raise KeyboardInterrupt
    assert list(tmp_path.iterdir()) == []


def test_what_a_killed_report_left_is_no_hindrance(sweep: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    pictures = _pictures(out, PICTURE, OTHER + ".tmp.123")
    for name in (".lock", "index.html.tmp.99999999"):
        (out / name).write_text("")
    report([sweep], ReportConfig(out=out))
    assert [path.name for path in out.iterdir()] == ["index.html"]
    assert not pictures.exists()


@pytest.mark.parametrize("stranger", ["index.html", "notes.txt", "pictures/holiday.jpg", "pictures/" + PICTURE[1:]])
def test_a_folder_that_holds_something_else_is_left_alone(sweep: Path, tmp_path: Path, stranger: str) -> None:
    out = tmp_path / "out"
    _pictures(out, PICTURE)
    (out / stranger).write_text("mine")
    with pytest.raises(CamoeError, match="holds something else and is left alone"):
        report([sweep], ReportConfig(out=out))
    assert (out / stranger).read_text() == "mine"


def test_only_pictures_of_ours_that_the_page_does_not_show_are_taken_away(tmp_path: Path) -> None:
    pictures = _pictures(tmp_path, PICTURE, OTHER, "holiday.jpg")
    write_page(tmp_path, MARK)
    check_out(tmp_path)
    remove_unused(tmp_path, {f"pictures/{PICTURE}"})
    assert sorted(path.name for path in pictures.iterdir()) == [PICTURE, "holiday.jpg"]


@pytest.mark.skipif(not Path("/proc/self").exists(), reason="there is no /proc here")
def test_a_place_that_takes_no_files_is_refused_at_once(sweep: Path) -> None:
    said: list[str] = []
    with pytest.raises(CamoeError, match=r"/proc/foo cannot be written: .* name another folder with --out") as caught:
        report([sweep], ReportConfig(out=Path("/proc/foo")), said.append)
    assert (caught.value.exit_status, said) == (2, [])
