"""MSVD: the published json and lists, the pickle at every protocol, hostile pickles."""

from __future__ import annotations

import json
import os
import pickle
from pathlib import Path
from typing import Any

import pytest
from camoe.extract.datasets import VideoFile, load_dataset
from camoe.extract.datasets.base import subset_sizes
from camoe.extract.datasets.msvd import PUBLISHED
from camoe.extract.datasets.safe_pickle import load_plain_pickle
from camoe.pipeline.errors import CamoeError

SHARED = os.environ.get("CAMOE_SHARED")
CAPTIONS = {
    "-4wsuPCjDBc_5_15": [["a", "squirrel", "eats"], ["a", "squirrel", "eats"]],
    "b_1_2": [["a", "dog", "runs"]],
    "c_3_4": [["un", "caf\u00e9"]],
    "unlisted_1_2": [["a", "cat"]],
}


def small(folder: Path, captions: bytes | str, name: str) -> None:
    (folder / name).write_bytes(captions if isinstance(captions, bytes) else captions.encode())
    for subset, video in zip(("train", "val", "test"), CAPTIONS, strict=False):
        (folder / f"{subset}_list.txt").write_text(video if subset == "val" else f"{video}\r\n")


@pytest.mark.skipif(not SHARED, reason="CAMOE_SHARED is not set")
@pytest.mark.parametrize("name", ["", "captions_msvd.json"])
def test_published_files(name: str) -> None:
    captions, _ = load_dataset("msvd", Path(SHARED or "") / "data/annotations/msvd" / name, None, seed=0)
    assert len(captions.text) == 80_827
    assert captions.shortfall == captions.skipped == {}
    assert subset_sizes(captions.video_id, captions.protocols["msvd"]) == PUBLISHED["msvd"]
    assert sorted(captions.sources) == ["captions_msvd.json", "test_list.txt", "train_list.txt", "val_list.txt"]
    assert captions.caption_id[0] == "-4wsuPCjDBc_5_15#000"


@pytest.mark.parametrize("protocol", range(6))
def test_pickle_and_json_agree(tmp_path, protocol: int) -> None:
    small(tmp_path, pickle.dumps(CAPTIONS, protocol), "raw-captions.pkl")
    pickled, _ = load_dataset("msvd", tmp_path, None, seed=0)
    assert pickled.text == ["a squirrel eats", "a squirrel eats", "a dog runs", "un caf\u00e9", "a cat"]
    assert pickled.protocols["msvd"].tolist() == [1, 1, 2, 3, 0]
    joined = {video: [" ".join(words) for words in sentences] for video, sentences in CAPTIONS.items()}
    (tmp_path / "raw-captions.pkl").unlink()
    small(tmp_path, json.dumps(joined), "captions_msvd.json")
    assert load_dataset("msvd", tmp_path, None, seed=0)[0].text == pickled.text


def test_python_2_strings(tmp_path) -> None:
    (tmp_path / "x.pkl").write_bytes(b"(dp0\nS'a_1_2'\np1\n(lp2\n(lp3\nS'caf\\xc3\\xa9'\np4\naas.")
    assert load_plain_pickle(tmp_path / "x.pkl") == {"a_1_2": [["café"]]}


def test_clips_are_not_cut_again(tmp_path) -> None:
    small(tmp_path, pickle.dumps(CAPTIONS), "raw-captions.pkl")
    files = [VideoFile(f"YouTubeClips/{name}", Path(f"{name}.avi")) for name in ("b_1_2", "-4wsuPCjDBc_5_15")]
    captions, items = load_dataset("msvd", tmp_path, files, seed=0)
    assert [(item.id, item.start_s, item.end_s) for item in items] == [
        ("-4wsuPCjDBc_5_15", None, None),
        ("b_1_2", None, None),
    ]
    assert captions.shortfall["msvd"]["missing_videos"] == 1
    assert captions.shortfall["msvd"]["first_missing"] == ["c_3_4"]


def test_missing_lists(tmp_path) -> None:
    small(tmp_path, pickle.dumps(CAPTIONS), "raw-captions.pkl")
    (tmp_path / "val_list.txt").unlink()
    with pytest.raises(CamoeError, match=r"lacks val_list.txt"):
        load_dataset("msvd", tmp_path, None, seed=0)
    (tmp_path / "raw-captions.pkl").unlink()
    with pytest.raises(CamoeError, match=r"lacks raw-captions.pkl"):
        load_dataset("msvd", tmp_path, None, seed=0)


class Canary:
    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> Any:
        return (os.mkdir, (str(self.path),))


def test_code_in_a_pickle_does_not_run(tmp_path) -> None:
    for protocol in range(6):
        (tmp_path / "evil.pkl").write_bytes(pickle.dumps({"a": [Canary(tmp_path / "hit")]}, protocol))
        with pytest.raises(
            CamoeError, match=r"evil.pkl is not a plain pickle and is not read: it asks for posix.mkdir"
        ):
            load_plain_pickle(tmp_path / "evil.pkl")
    assert not (tmp_path / "hit").exists()


def bomb() -> bytes:
    """2^41 values in a few hundred bytes of shared references, seven levels deep."""
    value: list[Any] = ["x"] * 58
    for _ in range(6):
        value = [value] * 58
    return pickle.dumps({"a": value})


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (bomb(), "unfolds to more than 5000000 values"),
        (pickle.dumps([[[[[[[[[["deep"]]]]]]]]]]), "nested more than 8 levels"),
        (b"r\xff\xff\xff\xff.", "is not a readable pickle"),
        (b"\x80\x04\x8e" + b"\xff" * 8 + b"x.", "pickle"),
        (b"not a pickle", "pickle"),
        (b"", "pickle"),
        (b"(" * 100_000, "pickle"),
    ],
)
def test_hostile_pickles(tmp_path, content: bytes, message: str) -> None:
    (tmp_path / "x.pkl").write_bytes(content)
    with pytest.raises(CamoeError, match=message):
        load_plain_pickle(tmp_path / "x.pkl")


def test_a_cycle_ends(tmp_path) -> None:
    loop: list[Any] = []
    loop.append(loop)
    (tmp_path / "x.pkl").write_bytes(pickle.dumps(loop))
    with pytest.raises(CamoeError, match="nested more than 8 levels"):
        load_plain_pickle(tmp_path / "x.pkl")


def test_other_content(tmp_path) -> None:
    small(tmp_path, pickle.dumps([1, 2]), "raw-captions.pkl")
    with pytest.raises(CamoeError, match=r"raw-captions.pkl is not MSVD's"):
        load_dataset("msvd", tmp_path, None, seed=0)
