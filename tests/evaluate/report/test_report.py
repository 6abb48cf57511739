"""Reports end to end: real videos, the tiny CLIP, trained runs; what stands in the page is what was measured."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from html import unescape
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from camoe.evaluate.config import EvaluateConfig
from camoe.evaluate.report.cli import main
from camoe.evaluate.report.examples import frame_scores, text_examples, video_examples
from camoe.evaluate.report.origins import dsl_effect, hub_rows
from camoe.evaluate.report.pictures import Pictures
from camoe.evaluate.report.streams import stream_scores
from camoe.evaluate.run import evaluate
from camoe.pipeline.errors import CamoeError
from camoe.pipeline.store import FeatureStore
from PIL import Image


def _numbers(text: str, table: str) -> dict[str, list[str]]:
    """The first line of every cell of a table, by its row's label."""
    (body,) = re.findall(rf'id="{table}">.*?<tbody>(.*?)</tbody>', text, re.DOTALL)
    rows = {}
    for row in re.findall(r"<tr.*?</tr>", body, re.DOTALL):
        (label,) = re.findall(r'<th scope="row">(.*?)</th>', row)
        rows[unescape(label)] = re.findall(r"<td[^>]*>([^<]*)", row)
    return rows


def test_the_headline_is_what_camoe_evaluate_says(one: Any, world: Any) -> None:
    told = evaluate(EvaluateConfig(run=world.run, device="cpu"))
    for number, direction in ((1, "t2v"), (2, "v2t")):
        rows = _numbers(one.text, f"headline-{number}")
        assert list(rows) == ["raw", "dsl *", "querybank", "zero-shot, raw", "chance"]
        for label, name in (("raw", "none"), ("dsl *", "dsl"), ("querybank", "querybank")):
            numbers = told.rerankings[name][direction]
            assert rows[label] == [f"{numbers[key]:.1f}" for key in ("R@1", "R@5", "R@10", "MdR", "MnR")]


def test_small_subsets_say_that_they_mean_nothing(one: Any) -> None:
    assert one.text.count("TOO FEW: 16 test videos") >= 3


def test_a_reviewer_finds_what_was_done(one: Any, world: Any) -> None:
    store = FeatureStore.open(world.store)
    for fact in (
        store.content_hash[:12],
        store.settings.clip_sha256[:12],
        "own, subset test",
        "64 captions of 16 videos",
    ):
        assert fact in one.text


def test_every_picture_is_the_frame_that_was_encoded(one: Any, world: Any) -> None:
    """The images beside the page, against the decoder that the extraction used."""
    from camoe.extract.ffmpeg import inspect_binary
    from camoe.extract.video import Decoder
    from camoe.pipeline.ffmpeg_binary import find_ffmpeg

    store = FeatureStore.open(world.store)
    decoder = Decoder(inspect_binary(find_ffmpeg(prefer_bundled=True)), 160, 4.0, 12, "uniform")
    pictures = Pictures.of(store, world.videos)
    video_id = store.video_ids[-1]
    strip = pictures.strip(video_id)
    pictures.make(one.page.parent.parent / "strip", lambda: None)
    decoded = decoder.decode(world.videos / f"{video_id}.mp4")
    assert len(strip) == len(decoded.frames)
    for frame, expected, time_s in zip(strip, decoded.frames, decoded.times_s, strict=True):
        assert frame.time_s == pytest.approx(time_s, abs=1e-3)
        name = pictures.tile(frame).image
        assert name is not None
        with Image.open(one.page.parent.parent / "strip" / name) as image:
            difference = np.abs(np.asarray(image, np.int16) - expected.astype(np.int16))
        assert difference.mean() < 6


def test_pictures_are_made_once_and_only_those_shown_are_kept(
    world: Any, tmp_path: Path, make_report: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One that is killed before its page is in place leaves the page before it with all its pictures."""
    first = make_report(tmp_path / "out", world.run)
    folder = tmp_path / "out" / "pictures"
    made = {path.name: path.stat().st_mtime_ns for path in folder.iterdir()}
    assert made
    assert set(re.findall(r'src="pictures/([0-9a-f]+\.jpg)"', first.text)) == set(made)
    make_report(tmp_path / "out", world.run)
    assert {path.name: path.stat().st_mtime_ns for path in folder.iterdir()} == made
    with monkeypatch.context() as patched:
        patched.setattr("camoe.evaluate.report.run.write_page", _killed)
        with pytest.raises(KeyboardInterrupt):
            make_report(tmp_path / "out", world.run, examples=0)
    assert {path.name for path in folder.iterdir()} == set(made)
    make_report(tmp_path / "out", world.run, examples=0)
    assert {path.name for path in folder.iterdir()} < set(made)


def _killed(out: Path, text: str) -> Path:
    raise KeyboardInterrupt


def test_missing_and_changed_sources_are_grey_tiles_that_say_so(world: Any, tmp_path: Path, make_report: Any) -> None:
    videos = tmp_path / "videos"
    shutil.copytree(world.videos, videos)
    names = sorted(path.name for path in videos.iterdir())[-16:]
    for name in names[:8]:
        (videos / name).unlink()
    for name in names[8:]:
        content = bytearray((videos / name).read_bytes())
        content[-1] ^= 1
        (videos / name).write_bytes(content)
    found = make_report(tmp_path / "out", world.run, videos=videos)
    assert f"{names[0]} is not there any more" in found.text
    assert f"{names[8]} has changed since it was extracted" in found.text
    assert not re.findall(r'src="pictures/', found.text)


def test_a_file_that_is_cut_off_is_a_grey_tile(world: Any, tmp_path: Path) -> None:
    """Where the store knows no fingerprint, the size alone tells; the decoder finds the rest."""
    store = FeatureStore.open(world.store)
    pictures = Pictures.of(store, world.videos)
    video_id = store.video_ids[-1]
    row = len(store.video_ids) - 1
    (tmp_path / "videos").mkdir()
    source = pictures.sources[row]
    (tmp_path / "videos" / source.path).write_bytes(bytes(source.size))
    sources = [*pictures.sources[:-1], type(source)(source.path, source.size, "", source.start_s)]
    broken = Pictures(store, tmp_path / "videos", sources)
    frame = broken.middle(video_id)
    broken.make(tmp_path / "out", lambda: None)
    assert broken.tile(frame).image is None
    assert broken.tile(frame).reason


def test_no_pictures(world: Any, tmp_path: Path, make_report: Any) -> None:
    found = make_report(tmp_path / "out", world.run, pictures=False)
    assert "pictures were left out" in found.text
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["index.html"]


def test_streams_mix_to_the_scores_that_were_ranked(world: Any, open_material: Any) -> None:
    material = open_material(world.run)
    by_stream = stream_scores(material.subject.scorer, "test")
    weights = material.subject.scorer.model.weights.numpy()
    np.testing.assert_allclose(np.tensordot(weights, by_stream, axes=1), material.ranked.scored.similarity, atol=1e-4)
    assert [stream.name for stream in material.streams] == ["fusion", "entity", "action"]
    whole = material.evaluation.rerankings["none"]
    assert any(stream.left_out is not None and stream.left_out != (whole.t2v, whole.v2t) for stream in material.streams)


@pytest.mark.parametrize("name", ["run", "other"])
def test_examples_show_the_ranks_scores_and_frames_that_there_are(world: Any, open_material: Any, name: str) -> None:
    """Also of a run that shuffles frames: the frame below which the best score stands is the one that has it."""
    material = open_material(getattr(world, name), examples=4)
    pictures = Pictures.of(material.subject.store, world.videos)
    ranks, similarity = material.ranked.ranks["none"], material.ranked.scored.similarity
    assert similarity is not None
    for group in text_examples(material, pictures):
        for example in group.examples:
            assert example.query is not None
            row = next(row for row, text in enumerate(material.captions) if text == example.query.text
                       and material.video_ids[material.owner[row]] == example.video_id)  # fmt: skip
            assert dict(example.ranks)["none"] == ranks.t2v[row]
            own = [found.rank for found in example.found if found.own]
            assert own == ([int(ranks.t2v[row])] if ranks.t2v[row] <= 5 else []) or len(set(similarity[row])) < 16
            scores = frame_scores(material, row, [example.video_id])[0]
            assert sum(best for _, _, best in example.strip) == 1
            (best,) = [(frame, score) for frame, score, is_best in example.strip if is_best]
            assert best[1] == pytest.approx(np.nanmax(scores))
            assert [frame.place for frame, _, _ in example.strip] == list(range(len(example.strip)))
            searcher = material.searcher
            seen = searcher.gallery.times_s[searcher.row_of(example.video_id), int(np.nanargmax(scores))]
            assert best[0].time_s == pytest.approx(seen)
    for group in video_examples(material, pictures):
        for example in group.examples:
            row = material.video_ids.index(example.video_id)
            assert dict(example.ranks)["none"] == ranks.v2t[row]
            if ranks.v2t[row] == 1:
                assert example.found[0].own


def test_ambiguous_captions_are_marked(one: Any) -> None:
    assert "Captions that several videos share word for word: 2 of 64" in one.text
    assert "on 2 videos" in one.text


def test_several_runs_are_held_against_the_first(two: Any) -> None:
    text = unescape(two.text)
    assert "shuffled minus <b>bold: raw" in text
    assert "<td>False</td><td>True</td>" in two.text
    assert two.text.count('<details id="run-') == 2


def test_hostile_words_stand_in_the_page_as_words(one: Any, hostile: Any) -> None:
    text = one.text
    for caption in hostile:
        assert caption not in text
        assert caption in unescape(text)
    assert text.count("<script") == 1
    assert "<b>bold" not in text
    assert "&lt;b&gt;bold" in text


def test_the_command_tells_where_the_page_lies(world: Any, capsys: pytest.CaptureFixture[str]) -> None:
    status = main([str(world.other), "--device", "cpu", "--bootstrap", "20", "--examples", "1"], standalone_mode=False)
    assert status == 0
    page = world.other / "report" / "index.html"
    assert capsys.readouterr().out.splitlines()[-1] == str(page)
    assert page.is_file()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["{tmp}/nothing"], "is not a run folder"),
        (["{run}", "{tmp}/nothing"], "is not a run folder"),
        (["{run}", "{tmp}/table.csv"], "is not a run folder"),
        (["{tmp}/table.csv"], "table.csv is not a run folder"),
        (["{run}", "{run}"], "is named twice"),
        (["{other}", "{run}", "{run}/../<b>bold"], "is named twice"),
        (["{run}", "--out", "{run}"], "holds something else and is left alone"),
        (["{run}", "--videos", "{tmp}/nowhere"], "is not a folder"),
        (["{run}", "--examples", "101"], "examples must be from 0 to 100"),
        (["{run}", "--out", "{run}/run.json"], "is a file; name a folder"),
        ([], "Missing argument"),
    ],
)
def test_mistakes_are_told_in_a_sentence_before_anything_is_done(
    world: Any, tmp_path: Path, arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "table.csv").write_text("a,b\n")
    given = [part.format(run=world.run, other=world.other, tmp=tmp_path) for part in arguments]
    before = sorted(path.name for path in world.run.iterdir())
    with pytest.raises(CamoeError, match=re.escape(message)):
        main(given, standalone_mode=False)
    assert sorted(path.name for path in world.run.iterdir()) == before
    assert capsys.readouterr().out == ""


def test_an_earlier_run_without_curves_has_a_report(world: Any, tmp_path: Path, make_report: Any) -> None:
    run = tmp_path / "run"
    shutil.copytree(world.run, run)
    (run / "metrics.jsonl").write_text('{"epoch": 1, "loss": NaN}\nnonsense\n[]\n{"epoch": "x"}\n')
    found = make_report(tmp_path / "out", run, pictures=False, examples=1)
    assert "Training loss" not in found.text
    assert "R@K for every K" in found.text


def test_a_zero_shot_run_is_its_own_reference(world: Any, tmp_path: Path, make_report: Any) -> None:
    from camoe.train.config import TrainConfig
    from camoe.train.loop import fit

    run = fit(TrainConfig(features=(str(world.store),), model="zero-shot", streams=("fusion",), out=tmp_path / "run"))
    rows = _numbers(make_report(tmp_path / "out", run, pictures=False, examples=1).text, "headline-1")
    assert list(rows) == ["raw", "dsl *", "querybank", "chance"]
    trained = _numbers(make_report(tmp_path / "other", world.run, pictures=False, examples=1).text, "headline-1")
    assert trained["zero-shot, raw"] == rows["raw"]


def test_what_is_too_large_to_hold_is_shown_all_the_same(
    world: Any, tmp_path: Path, make_report: Any, open_material: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Streams, hubs, DSL's effect and examples are those of the whole matrix, in blocks of a few rows."""
    monkeypatch.setattr("camoe.pipeline.scores.PIECE", 5 * 16)
    blocks, whole = (open_material(world.run, max_matrix_gb=size, rerank=("dsl",)) for size in (1e-9, 2.0))
    assert blocks.ranked.scored is None
    assert whole.ranked.scored is not None
    assert [(each.name, each.alone, each.left_out) for each in blocks.streams] == [
        (each.name, each.alone, each.left_out) for each in whole.streams
    ]
    pictures = Pictures.of(whole.subject.store, None)
    assert hub_rows(blocks, pictures) == hub_rows(whole, pictures)
    assert dsl_effect(blocks, pictures) == dsl_effect(whole, pictures)
    for make in (text_examples, video_examples):
        for few, all_ in zip(make(blocks, pictures), make(whole, pictures), strict=True):
            assert [each.video_id for each in few.examples] == [each.video_id for each in all_.examples]
            for one, other in zip(few.examples, all_.examples, strict=True):
                assert [found.video_id for found in one.found] == [found.video_id for found in other.found]
                np.testing.assert_allclose(one.own_score, other.own_score, atol=1e-4)
    found = make_report(tmp_path / "out", world.run, max_matrix_gb=1e-9, pictures=False, examples=1)
    assert {"raw", "dsl *", "zero-shot, raw", "chance"} <= set(_numbers(found.text, "headline-1"))
    assert "A fair sample" in found.text
    assert "None" not in found.text


def test_only_the_asked_rerankings_are_there(world: Any, tmp_path: Path, make_report: Any) -> None:
    found = make_report(tmp_path / "out", world.run, rerank=("none",), pictures=False, examples=1)
    assert "query by query" not in found.text
    assert json.dumps("dsl") not in found.text


def test_an_imported_store_that_knows_no_files_and_no_times(world: Any, tmp_path: Path) -> None:
    """Its tiles are grey and say why; all else is there."""
    store = FeatureStore.open(world.store)
    pictures = Pictures.of(store, world.videos)
    known = pictures.sources[-1]
    unknown = Pictures(store, world.videos, [type(known)("", 0, "", 0.0)] * len(pictures.sources))
    frame = unknown.middle(store.video_ids[-1])
    unknown.make(tmp_path, lambda: None)
    assert unknown.tile(frame).reason == "the store does not say which file it is of"
    timeless = Pictures(store, world.videos, pictures.sources)
    timeless._times = np.full_like(timeless._times, np.nan)
    frame = timeless.middle(store.video_ids[-1])
    timeless.make(tmp_path, lambda: None)
    assert timeless.tile(frame).reason == "the store does not say when its frames are shown"


def test_a_store_that_does_not_know_how_its_frames_were_sampled(tmp_path: Path, make_report: Any) -> None:
    """One made of arrays; its run is read as any other."""
    from camoe.pipeline.store import store_from_arrays
    from camoe.train.config import TrainConfig
    from camoe.train.loop import fit

    names = [f"clip{row}" for row in range(12)]
    vectors = np.random.default_rng(0).standard_normal((12, 8), np.float32)
    store_from_arrays(tmp_path / "s.h5", frames=vectors[:, None], video_ids=names, captions=names,
                      caption_videos=names, texts=vectors, model="mine")  # fmt: skip
    settings: dict[str, Any] = {"features": (str(tmp_path / "s.h5"),), "model": "zero-shot", "streams": ("fusion",)}
    found = make_report(tmp_path / "out", fit(TrainConfig(out=tmp_path / "run", device="cpu", **settings)))
    assert "how they were sampled is not known" in found.text
    assert "TOO FEW" in found.text


def test_a_report_does_without_the_videos(random_run: Path, tmp_path: Path, make_report: Any) -> None:
    """A store whose videos are nowhere."""
    found = make_report(tmp_path / "out", random_run)
    assert "name it with --videos" in found.text
    assert "TOO FEW: 40 test videos" in found.text


def test_help_loads_no_torch() -> None:
    code = "import sys, camoe.evaluate.report.cli; print([m for m in ('torch', 'jinja2', 'PIL') if m in sys.modules])"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"
