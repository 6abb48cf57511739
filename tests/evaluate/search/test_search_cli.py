from __future__ import annotations

import builtins
import csv
import json
import re
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import pytest
from camoe.evaluate.search import config as search_config
from camoe.evaluate.search.cli import main
from camoe.evaluate.search.config import parse_weights
from camoe.evaluate.search.records import Hit
from camoe.evaluate.search.render import as_csv, as_table
from camoe.pipeline.errors import CamoeError
from camoe.pipeline.store import SUBSETS

QUERY = "a pink moon expands over the grass"
NONSENSE = "the parliament debates a law about the price of bread"


def search(*options: str) -> int:
    return int(main([*options, "--device", "cpu"], standalone_mode=False))


def test_json_is_a_list_of_hits(world, searcher, capsys: pytest.CaptureFixture[str]) -> None:
    assert search("--run", str(world.run), QUERY, "--top", "3", "--json") == 0
    found = json.loads(capsys.readouterr().out)
    expected = searcher.search(QUERY, top=3)
    assert [list(hit) for hit in found] == [["rank", "id", "score", "moment_s", "path"]] * 3
    assert [hit["id"] for hit in found] == [hit.id for hit in expected]
    assert Path(found[0]["path"]).is_file()


def test_the_table_and_csv_say_the_same(world, capsys: pytest.CaptureFixture[str]) -> None:
    for options in ((), ("--csv",)):
        assert search("--features", str(world.bare), QUERY, "--top", "2", *options) == 0
    lines = capsys.readouterr().out.splitlines()
    table, rows = lines[:3], list(csv.DictReader(lines[3:]))
    assert table[0].split() == ["rank", "id", "score", "moment_s", "path"] == list(rows[0])
    for line, row in zip(table[1:], rows, strict=True):
        rank, video_id, score, moment, path = line.split()
        assert (rank, video_id, path) == (row["rank"], row["id"], row["path"])
        assert float(score) == pytest.approx(float(row["score"]), abs=0.006)
        assert float(moment) == float(row["moment_s"])


def test_by_a_video_both_ways(world, capsys: pytest.CaptureFixture[str]) -> None:
    clip = str(world.videos / "clip0003.mp4")
    for options in (("--like", "clip0003"), ("--like", clip), ("--captions-for", "clip0003"), ("--captions-for", clip)):
        assert search("--run", str(world.run), "--json", "--top", "1", *options) == 0
    shown = capsys.readouterr().out.replace("]\n[", "]\0[").split("\0")
    by_id, by_file, captions, file_captions = (json.loads(part)[0] for part in shown)
    assert by_file["id"] == "clip0003" != by_id["id"]
    assert (captions["id"], captions["text"]) == (file_captions["id"], file_captions["text"])
    assert list(captions) == ["rank", "id", "video_id", "score", "text"]
    assert "pink cross" in captions["text"]


def test_a_subset_narrows(world, capsys: pytest.CaptureFixture[str]) -> None:
    assert search("--run", str(world.run), "--subset", "test", "--top", "64", "--json", "--videos-for", QUERY) == 0
    found = json.loads(capsys.readouterr().out)
    assert len(found) == 16
    assert [hit["rank"] for hit in found] == list(range(1, 17))


def test_the_cut_off_and_what_is_not_wanted(world, capsys: pytest.CaptureFixture[str]) -> None:
    assert search("--run", str(world.run), NONSENSE, "--cutoff", "auto") == 0
    shown = capsys.readouterr()
    assert shown.out == "nothing found\n"
    assert re.fullmatch(r"cut-off \d+\.\d\d \(.*captions.*\); the nearest video scores -?\d+\.\d\d\n", shown.err)
    assert search("--run", str(world.run), "--like", "clip0003", "--cutoff", "auto", "--json") == 0
    shown = capsys.readouterr()
    assert len(json.loads(shown.out)) == 10
    assert "no cut-off: the calibrated one is for texts" in shown.err
    assert search("--run", str(world.run), QUERY, "--cutoff", "10", "--not", "grass", "--json") == 0
    assert {hit["id"] for hit in json.loads(capsys.readouterr().out)} == {"clip0000", "clip0001"}


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["x"], "give --run RUN, or --features STORE"),
        (["--run", "{run}"], "give one thing to search for"),
        (["--run", "{run}", "x", "--like", "clip0000"], "give one thing to search for"),
        (["--run", "{run}", "--like", "a", "--captions-for", "b"], "--like and --captions-for are two searches"),
        (["--run", "{run}", "x", "--top", "0"], "top must be from 1"),
        (["--run", "{run}", "x", "--csv", "--json"], "two forms"),
        (["--run", "{run}", "x", "--cutoff", "much"], "--cutoff must be auto, none or a number, not 'much'"),
        (["--run", "{run}", "x", "--weights", "entity"], "--weights must be STREAM=NUMBER,…, not 'entity'"),
        (["--run", "{run}", "x", "--weights", "entity=1,action=two"], "STREAM=NUMBER,…, not 'action=two'"),
        (["--run", "{run}", "x", "--not", ""], "--not is empty; say what should not be seen, or leave it out"),
        (["--run", "{run}", "x", "--rerank", "nonsense"], "bank-sinkhorn, dn, not 'nonsense'"),
        (["--run", "{run}", "x", "--weights", "nothing=1"], "there is no stream 'nothing'"),
        (["--run", "{run}", "x", "--port", "99"], "--port is about the page; add --serve"),
        (["--run", "{run}", "--serve", "--like", "x"], "--like has no effect with --serve; leave it out"),
        (["--run", "{run}", "--serve", "--host", "0.0.0.0", "--token", "short"], "at least 16 letters"),
        (["--run", "{run}", "--serve", "--host", "203.0.113.77"], "203.0.113.77:8017 cannot be opened"),
        (["--run", "{run}", "y" * 1001], "at most 1000 letters"),
        (["--run", "{run}", "--captions-for", "x", "--not", "y"], "--captions-for reads neither"),
    ],
)
def test_mistakes_are_told_in_a_sentence(world, options: list[str], words: str) -> None:
    with pytest.raises(CamoeError) as raised:
        search(*[option.replace("{run}", str(world.run)) for option in options])
    assert words in str(raised.value)
    assert "did you mean" not in str(raised.value)


def test_both_spellings_of_weights_are_taken() -> None:
    assert parse_weights(("entity=1", "action:0.5")) == {"entity": 1.0, "action": 0.5}


def test_a_stream_has_one_weight() -> None:
    with pytest.raises(CamoeError, match="weights names stream 'entity' twice; name it once"):
        parse_weights(("entity=1", "action=0.5", "entity=2"))


def test_a_folder_without_the_videos_is_doubted(world, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert search("--run", str(world.run), QUERY, "--videos", str(tmp_path), "--json") == 0
    told = capsys.readouterr().err
    assert told == (
        f"--videos {tmp_path} does not hold the store's videos as they were extracted (clip0000.mp4, for example); "
        "give the folder that camoe-extract was given\n"
    )


def test_a_missing_extra_is_named(world, monkeypatch: pytest.MonkeyPatch) -> None:
    real = builtins.__import__

    def without(name: str, *rest: object, **more: object) -> object:
        if name.startswith("uvicorn"):
            raise ImportError("no", name="uvicorn")
        return real(name, *rest, **more)  # type: ignore[arg-type]

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(CamoeError, match=r"--serve needs uvicorn, .* pip install 'camoe\[search\]'"):
        search("--run", str(world.run), "--serve")


def test_the_page_opens_and_ends(world) -> None:
    command = [sys.executable, "-c", "from camoe.evaluate.search.cli import main; main()"]
    options = ["--run", str(world.run), "--serve", "--port", "0", "--device", "cpu", "a red star"]
    with subprocess.Popen([*command, *options], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as child:
        try:
            assert child.stdout is not None
            lines = [child.stdout.readline() for _ in range(3)]
            assert lines[0] == "64 videos, camoe\n"
            assert lines[1] == f"videos are in {world.videos.resolve()}\n"
            address = lines[2].removeprefix("search at ").split()[0]
            assert address.endswith("/?q=a+red+star")
            until = time.monotonic() + 20
            while time.monotonic() < until:
                try:
                    with urllib.request.urlopen(address, timeout=5) as answer:
                        assert answer.status == 200
                    break
                except OSError:
                    time.sleep(0.05)
            child.send_signal(2)
            assert child.wait(20) == 0
            assert child.stderr is not None
            assert child.stderr.read() == ""
        finally:
            child.kill()


def test_help_needs_no_torch() -> None:
    code = (
        "import sys\nfrom camoe.evaluate.search.cli import main\nmain(['--help'], standalone_mode=False)\n"
        "assert not {'torch', 'numpy', 'fastapi', 'h5py'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, timeout=60)


def test_the_subsets_are_the_stores() -> None:
    assert tuple(SUBSETS) == search_config.SUBSETS


def test_control_characters_and_formulas_are_shown_harmless() -> None:
    hit = Hit(1, "\x1b[31mred", 1.0, None, "=1+1.mp4")
    assert "\x1b" not in as_table([hit])
    assert "\\x1b[31mred" in as_table([hit])
    assert "'=1+1.mp4" in as_csv([hit])
    assert as_csv([]) == "rank,id,score,moment_s,path"
