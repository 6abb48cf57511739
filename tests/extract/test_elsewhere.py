"""Workers on other machines: what they lack is told, and weights that they lack are sent."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from camoe.extract.clip_encoder import ClipEncoder
from camoe.extract.clip_weights import find_weights
from camoe.extract.elsewhere import FrameWorkElsewhere
from camoe.extract.ffmpeg import inspect_binary
from camoe.extract.frames import FrameWork
from camoe.pipeline.errors import CamoeError, RunStoppedError
from camoe.pipeline.ffmpeg_binary import find_ffmpeg
from camoe.pipeline.store import StoreSettings
from camoe.pipeline.store.chunks import Chunk
from camoe.pipeline.store.place import Place


@pytest.fixture
def elsewhere(tmp_path: Path) -> FrameWorkElsewhere:
    """Work with a copy of the tiny model that is nowhere on the machine."""
    weights = find_weights("tiny")
    encoder = ClipEncoder.load("tiny", "cpu", "fp32")
    settings = StoreSettings(
        clip_model="x.pt", clip_sha256=weights.sha256, clip_logit_scale=100.0, embed_dim=encoder.embed_dim,
        precision="fp32", versions={}, fps=1.0, max_frames=4, sampling="uniform",
    )  # fmt: skip
    (tmp_path / "videos").mkdir()
    place = Place.of(tmp_path / "store")
    place.folder.mkdir()
    place.plan.touch()
    binary = inspect_binary(find_ffmpeg(None))
    work = FrameWork(place, settings, tmp_path / "videos", binary, "x.pt", tmp_path / "cache", "cpu", 60.0, 1, 4)
    gone = replace(weights, name="x.pt", path=tmp_path / "gone" / "x.pt")
    return FrameWorkElsewhere(work, gone, lambda: np.fromfile(weights.path, np.uint8), workers=3)


def test_weights_that_are_not_there_are_sent(elsewhere: FrameWorkElsewhere) -> None:
    worker = elsewhere()
    assert worker.encoder.weights.sha256 == elsewhere.weights.sha256
    assert worker.how.workers == 3


def test_weights_that_are_there_are_not_sent(elsewhere: FrameWorkElsewhere, tmp_path: Path) -> None:
    def refuse() -> np.ndarray:
        raise AssertionError("sent")

    (tmp_path / "cache").mkdir()
    elsewhere.send().tofile(tmp_path / "cache" / "x.pt")
    assert replace(elsewhere, send=refuse)().encoder.weights.sha256 == elsewhere.weights.sha256
    (tmp_path / "cache" / "x.pt").write_bytes(b"others by that name")
    with pytest.raises(AssertionError, match="sent"):
        replace(elsewhere, send=refuse)()


def test_weights_that_changed_on_the_way_are_refused(elsewhere: FrameWorkElsewhere) -> None:
    other = replace(elsewhere, send=lambda: np.zeros(100, np.uint8))
    with pytest.raises(CamoeError, match=r"x.pt has changed since the run began: what was sent has the SHA-256"):
        other()


def test_what_a_machine_lacks_is_told(elsewhere: FrameWorkElsewhere, tmp_path: Path) -> None:
    binary = replace(elsewhere.work.binary, version="1.0")
    with pytest.raises(CamoeError, match=r"is version .* here, and 1.0 where the run was begun"):
        replace(elsewhere, work=replace(elsewhere.work, binary=binary))()
    with pytest.raises(CamoeError, match="give a folder that all machines see"):
        replace(elsewhere, work=replace(elsewhere.work, root=tmp_path / "none"))()
    elsewhere.work.place.plan.unlink()
    with pytest.raises(CamoeError, match="is not the same there; give one that all machines see"):
        elsewhere()


def test_a_chunk_that_a_dying_process_holds_is_waited_for(elsewhere: FrameWorkElsewhere) -> None:
    chunk = Chunk(7, "frames-00007.h5", 1, ())
    claim = elsewhere.work.place.claim(7)
    assert claim is not None
    assert elsewhere.work.claim(chunk) is None
    with pytest.raises(RunStoppedError, match=r"chunk 7 of .*store is held by a process of an earlier try"):
        replace(elsewhere.work, patience_s=0.3).claim(chunk)
    claim.release()
    mine = replace(elsewhere.work, patience_s=0.3).claim(chunk)
    assert mine is not None
    mine.release()
