from __future__ import annotations

import re
import shutil
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest
from camoe.evaluate.names import ONE_QUERY, Reranking
from camoe.evaluate.rerank import rerank
from camoe.evaluate.scored import complete
from camoe.evaluate.search.bank import fitted
from camoe.evaluate.search.config import SearchConfig
from camoe.evaluate.search.gallery import window_start
from camoe.evaluate.search.query import Query
from camoe.evaluate.search.searcher import Searcher
from camoe.pipeline.errors import CamoeError
from camoe.pipeline.store import FeatureStore
from camoe.train.run_folder import load_run
from camoe.train.scoring import RunScorer

Maker = Callable[..., Path]
EYE = np.eye(4).tolist()
QUERY = "a pink moon expands over the grass"


def test_a_caption_scores_as_in_the_evaluation(world, searcher: Searcher) -> None:
    scores = RunScorer(load_run(world.run), FeatureStore.open(world.store), device="cpu").score()
    narrow = Searcher.open(world.run, subset="test", device="cpu")
    assert narrow.gallery.ids == scores.video_ids
    keys = list(zip(narrow.store.caption_video_ids, narrow.store.caption_ids, strict=True))
    for row in (0, 7, 40):
        caption = keys.index((scores.caption_video_ids[row], scores.caption_ids[row]))
        found = narrow.mix(narrow.score(narrow.caption_query(caption)))
        np.testing.assert_allclose(found, scores.similarity[row], atol=1e-4)


def test_a_typed_caption_scores_as_the_stored_one(searcher: Searcher) -> None:
    for caption in (0, 101, 255):
        stored = searcher.score(searcher.caption_query(caption))
        typed = searcher.score(searcher.query(searcher.store.caption_texts[caption]))
        np.testing.assert_allclose(typed, stored, atol=0.05)  # the store rounds to float16


@pytest.mark.parametrize("name", ["searcher", "zero_shot"])
def test_most_captions_find_their_own_video_among_the_first(name: str, request: pytest.FixtureRequest) -> None:
    searcher: Searcher = request.getfixturevalue(name)
    store = searcher.store
    found = [
        store.caption_video_ids[row] in [hit.id for hit in searcher.search(store.caption_texts[row], top=3)]
        for row in range(0, 256, 8)
    ]
    assert np.mean(found) > 0.8


def test_a_hit_tells_rank_id_score_moment_and_path(world, searcher: Searcher) -> None:
    hits = searcher.search(QUERY, top=5)
    assert [hit.rank for hit in hits] == [1, 2, 3, 4, 5]
    assert {hits[0].id, hits[1].id} == {"clip0000", "clip0001"}  # the two pink moons over grass
    assert [hit.score for hit in hits] == sorted((hit.score for hit in hits), reverse=True)
    assert list(asdict(hits[0])) == ["rank", "id", "score", "moment_s", "path"]
    for hit in hits:
        assert Path(hit.path) == world.videos.resolve() / f"{hit.id}.mp4"
        assert hit.moment_s in searcher.gallery.times_s[searcher.row_of(hit.id)]


def test_the_best_moment_is_that_of_the_best_frame(store_maker: Maker) -> None:
    path = store_maker("s.h5", EYE, EYE, range(4), ["test"] * 4)
    searcher = Searcher.open(None, path, device="cpu")
    gallery = searcher.gallery
    frames = np.zeros((4, 3, 4), np.float16)
    frames[:, 0], frames[:, 1], frames[:, 2] = [0, 1, 0, 0], [0.6, 0.8, 0, 0], [1, 0, 0, 0]
    object.__setattr__(gallery, "frames", frames)
    object.__setattr__(gallery, "count", np.array([3, 2, 1, 3]))
    scores = searcher.mix(searcher.frame_scores(searcher.caption_query(0), [0, 1, 2]))
    expected = [[0, 12, 20], [0, 12, np.nan], [0, np.nan, np.nan]]  # 20 times the cosine
    np.testing.assert_allclose(scores, expected, atol=0.02)


def test_zero_shot_is_the_mean_pooled_cosine(store_maker: Maker) -> None:
    searcher = Searcher.open(None, store_maker("s.h5", EYE, EYE, range(4), ["test"] * 4), device="cpu")
    assert searcher.weights == {"fusion": 1.0, "action": 0.0, "entity": 0.0}
    np.testing.assert_allclose(searcher.mix(searcher.score(searcher.caption_query(2))), [0, 0, 20, 0], atol=1e-5)


def test_weights_of_streams_change_the_scores(searcher: Searcher) -> None:
    query = searcher.query(QUERY)
    by_stream = searcher.score(query)
    assert by_stream.shape == (3, 64)
    np.testing.assert_allclose(searcher.mix(by_stream, {"action": 2.0}), by_stream[2], rtol=1e-6)
    half = searcher.mix(by_stream, {"fusion": 1, "entity": 1})
    np.testing.assert_allclose(half, (by_stream[0] + by_stream[1]) / 2, atol=1e-5)
    np.testing.assert_allclose(searcher.mix(by_stream), by_stream.mean(axis=0), atol=1e-5)


@pytest.mark.parametrize("weights", [{"fusion": 0.0}, {"fusion": -1.0, "entity": 2.0}, {"entity": np.nan}, {"x": 1.0}])
def test_weights_that_are_none_are_refused(searcher: Searcher, weights: dict[str, float]) -> None:
    with pytest.raises(CamoeError, match=r"weights of streams|no stream 'x'; the streams are fusion, entity, action"):
        searcher.shares(weights)


def test_a_store_without_captions_is_searched(world) -> None:
    searcher = Searcher.open(None, world.bare, device="cpu")
    assert {hit.id for hit in searcher.search(QUERY, top=2)} == {"clip0000", "clip0001"}
    assert searcher.streams == ["fusion", "entity", "action"]
    with pytest.raises(CamoeError, match="has no captions to look through"):
        searcher.captions_for("clip0000")
    with pytest.raises(CamoeError, match=r"--subset test needs captions"):
        Searcher.open(None, world.bare, subset="test")


def test_a_run_searches_a_store_without_captions(world, searcher: Searcher) -> None:
    other = Searcher.open(world.run, world.bare, device="cpu")
    assert other.search(QUERY) == searcher.search(QUERY)


def test_like_finds_others_by_an_id_and_the_same_by_a_file(world, searcher: Searcher) -> None:
    by_id, by_file = searcher.search(like="clip0005"), searcher.search(like=world.videos / "clip0005.mp4", top=11)
    assert by_file[0].id == "clip0005"
    assert by_file[0].score == pytest.approx(searcher.model.logit_scale.exp().item(), abs=1e-2)
    assert [hit.id for hit in by_file[1:]] == [hit.id for hit in by_id]
    assert [hit.rank for hit in by_id] == list(range(1, 11))


def test_what_is_not_wanted_falls_back(searcher: Searcher) -> None:
    plain = searcher.query("a pink moon expands over the grass")
    without = searcher.query("a pink moon expands over the grass", without="grass")
    fallen = searcher.mix(searcher.score(plain)) - searcher.mix(searcher.score(without))
    grass = searcher.mix(searcher.score(searcher.query("grass")))
    np.testing.assert_allclose(fallen, grass / 2, atol=1e-3)
    np.testing.assert_array_equal(searcher.wanted_score(without), searcher.score(plain))


def test_captions_for_a_video(world, searcher: Searcher) -> None:
    hits = searcher.captions_for("clip0003", top=4)
    assert [hit.rank for hit in hits] == [1, 2, 3, 4]
    assert all("pink cross" in hit.text for hit in hits)
    by_file = searcher.captions_for(world.videos / "clip0003.mp4", top=4)
    assert [hit.id for hit in by_file] == [hit.id for hit in hits]


def test_who_asks_for_captions_of_no_video_is_told_so(searcher: Searcher) -> None:
    with pytest.raises(CamoeError, match="--captions-for a red star: neither a video that is searched nor a file"):
        searcher.captions_for("a red star")
    with pytest.raises(CamoeError, match=r"--captions-for clip0003.mp4: neither .*; the id is 'clip0003'$"):
        searcher.captions_for("clip0003.mp4")


def test_an_id_outside_the_subset_is_told_so(world) -> None:
    narrow = Searcher.open(world.run, subset="test", device="cpu")
    for ask in (narrow.captions_for, lambda video: narrow.search(like=video), narrow.row_of):
        with pytest.raises(CamoeError, match=r"it is in the store, but not in the subset .*: leave --subset out"):
            ask("clip0003")


def test_the_example_in_the_readme_runs_as_printed(
    world, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    readme = (Path(__file__).parents[3] / "README.md").read_text(encoding="utf-8")
    (example,) = [block for block in re.findall(r"```python\n(.*?)```", readme, re.DOTALL) if "Searcher" in block]
    (tmp_path / "videos").symlink_to(world.videos)
    (tmp_path / "runs").mkdir()
    (tmp_path / "runs" / "x").symlink_to(world.run)
    monkeypatch.chdir(tmp_path)
    exec(compile(example, "README.md", "exec"), {})
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) >= 3
    assert lines[0].startswith("1 clip")


def test_words_are_masked_as_the_streams_read_them(searcher: Searcher) -> None:
    fusion, entity, action = searcher.read("A red star falls over the water")
    assert fusion.kept == (True,) * 7
    assert [word for word, kept in zip(entity.words, entity.kept, strict=True) if kept] == ["star", "water"]
    assert (action.sentence, action.fell_back) == ("_ _ _ falls _ _ _", False)
    nothing = searcher.read("two red balloons")[2]
    assert nothing.fell_back
    assert nothing.kept == (True, True, True)


def test_the_cut_off_keeps_captions_and_refuses_nonsense(searcher: Searcher, world) -> None:
    bare = Searcher.open(None, world.bare, device="cpu")
    for each in (searcher, bare):
        nonsense = ("two dogs run along the river", "asdf qwer", "a football player scores a goal")
        assert [len(each.search(text, cutoff=each.cutoff.at())) for text in nonsense] == [0, 0, 0]
        assert each.search(QUERY, cutoff=each.cutoff.at())[0].id in ("clip0000", "clip0001")
    assert "captions" in searcher.cutoff.basis
    assert "unlikely sentences" in bare.cutoff.basis


def test_the_cut_off_follows_the_weights(searcher: Searcher) -> None:
    assert searcher.cutoff.at({"action": 1.0}) != searcher.cutoff.at({"fusion": 1.0})


def test_best_puts_equal_scores_in_the_order_of_ids() -> None:
    scores = np.array([1.0, 3.0, 1.0, -np.inf, 3.0, 1.0])
    assert Searcher.best(scores, 3).tolist() == [1, 4, 0]
    assert Searcher.best(scores, 99).tolist() == [1, 4, 0, 2, 5]
    assert Searcher.best(scores, 2, np.array([True, False, True, True, False, True])).tolist() == [0, 2]
    assert Searcher.best(scores, 2, np.zeros(6, bool)).tolist() == []
    for top in (0, -1):
        with pytest.raises(CamoeError, match=f"top must be at least 1, not {top}"):
            Searcher.best(scores, top)


@pytest.mark.parametrize("model", ["frame-attention", "xpool"])
def test_text_conditioned_models_are_searched(
    model: str, random_store_maker: Maker, run_maker: Maker, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = random_store_maker("s.h5", {"train": 60, "val": 20, "test": 40})
    run = run_maker("run", store, model=model, epochs=1, streams=("fusion",), batch_size=16)
    scores = RunScorer(load_run(run), FeatureStore.open(store), device="cpu").score()
    narrow = Searcher.open(run, subset="test", device="cpu")
    assert narrow.ranker.conditioned
    assert narrow.ranker.candidates is None
    keys = list(zip(narrow.store.caption_video_ids, narrow.store.caption_ids, strict=True))
    caption = keys.index((scores.caption_video_ids[5], scores.caption_ids[5]))
    whole = narrow.mix(narrow.score(narrow.caption_query(caption)))
    np.testing.assert_allclose(whole, scores.similarity[5], atol=1e-3)
    assert narrow.gallery.ids[3] not in [hit.id for hit in narrow.search(like=narrow.gallery.ids[3])]
    monkeypatch.setattr("camoe.evaluate.search.ranker.CANDIDATES", 10)
    few = narrow.mix(narrow.score(narrow.caption_query(caption)))
    assert narrow.ranker.candidates == 10
    assert np.isfinite(few).sum() == 10
    kept = np.isfinite(few)
    np.testing.assert_allclose(few[kept], whole[kept], atol=1e-4)
    assert len(narrow.best(few, 40)) == 10
    video = narrow.query(like=narrow.gallery.ids[0])
    text = narrow.caption_query(caption).parts[0]
    both = narrow.score(Query((video.parts[0], replace(text, weight=-0.5))))
    assert np.isfinite(both).all()  # what is not compared is not subtracted


def test_another_clip_is_refused(world, store_maker: Maker) -> None:
    made_up = store_maker("s.h5", EYE, EYE, range(4), ["test"] * 4)
    with pytest.raises(CamoeError, match=r"another CLIP .* than the store's; .* made-up with SHA-256 abababababab…"):
        Searcher.open(None, made_up, clip="tiny").search("a dog")
    with pytest.raises(CamoeError, match=r"name the file of its weights with --clip"):
        Searcher.open(None, made_up).search("a dog")
    with pytest.raises(CamoeError, match=r"extract them with the same CLIP"):
        Searcher.open(world.run, made_up)


def test_what_cannot_be_searched_is_said(world, searcher: Searcher, tmp_path: Path) -> None:
    with pytest.raises(CamoeError, match="give --run RUN, or --features STORE"):
        Searcher.open(None)
    with pytest.raises(CamoeError, match="neither a video that is searched nor a file"):
        searcher.search(like="nothing")
    with pytest.raises(CamoeError, match="the query is empty"):
        searcher.search("  ")
    with pytest.raises(CamoeError, match="nothing is searched for; give a text, or a video"):
        searcher.search()
    with pytest.raises(CamoeError, match=r"a text and a video .* are two searches"):
        searcher.search("a moon", like="clip0000")
    with pytest.raises(CamoeError, match="the text that is subtracted is empty"):
        searcher.search("a moon", without=" ")
    broken = tmp_path / "broken.mp4"
    broken.write_bytes(b"no video at all")
    with pytest.raises(
        CamoeError, match=r"--like \S+broken.mp4 cannot be searched by \(.*\); give another file, or an id"
    ):
        searcher.search(like=broken)
    with pytest.raises(CamoeError, match=r"--captions-for \S+broken.mp4 cannot be searched by"):
        searcher.captions_for(broken)
    with pytest.raises(CamoeError, match="not a folder"):
        Searcher.open(world.run, videos=tmp_path / "none")


def test_a_long_query_is_cut_as_captions_are(searcher: Searcher) -> None:
    assert len(searcher.search("a pink moon " * 100, top=2)) == 2


def test_an_imported_or_listed_stream_needs_its_words(world, tmp_path: Path) -> None:
    store = tmp_path / "shards.h5"
    shutil.copy(world.store, store)
    words = tmp_path / "shapes.txt"
    words.write_text("moon\nstar\ncross\n")
    from camoe.extract.config import ExtractConfig
    from camoe.extract.run import extract

    captions = world.videos.parent / "captions.csv"
    extract(ExtractConfig(into=store, captions=captions, clip="tiny", stream=(f"shape=@{words}",)))
    with pytest.raises(CamoeError, match=r"--stream shape=@FILE\.txt"):
        Searcher.open(None, store).search("a pink moon")
    found = Searcher.open(None, store, streams=[f"shape=@{words}"])
    shape = next(reading for reading in found.read("a pink moon") if reading.stream == "shape")
    assert shape.kept == (False, False, True)


def test_windows_begin_where_their_ids_say() -> None:
    assert window_start("clips/a@3.5-9", "clips/a.mp4") == 3.5
    assert window_start("clips/a@-9", "clips/a.mp4") == 0.0
    assert window_start("clips/a", "clips/a.mp4") == 0.0
    assert window_start("a@home-9", "a@home-9.mp4") == 0.0


def test_a_new_file_is_embedded_as_the_stores_own_were(world, searcher: Searcher) -> None:
    row = searcher.row_of("clip0003")
    embedded = searcher.embed(world.videos / "clip0003.mp4")
    stored = searcher.store.frames()[searcher.store.video_ids.index("clip0003")]
    assert embedded.shape == (searcher.store.frame_count[row], stored.shape[1])
    np.testing.assert_allclose(embedded, stored[: len(embedded)], atol=0.02)  # the store rounds to float16


def test_new_sentences_are_scored_against_all_videos(searcher: Searcher) -> None:
    texts = [QUERY, "a green ring moves to the left"]
    scores = searcher.similarity(texts)
    assert scores.shape == (2, len(searcher.gallery))
    for text, row in zip(texts, scores, strict=True):
        np.testing.assert_allclose(row, searcher.mix(searcher.score(searcher.query(text))), atol=1e-5)
    fusion = searcher.similarity(texts, weights={"fusion": 1.0})
    assert not np.allclose(fusion, scores)


@pytest.mark.parametrize("name", [name for name in ONE_QUERY if name != "none"])
def test_a_re_ranked_search_scores_as_the_re_ranked_evaluation(world, name: str) -> None:
    scorer = RunScorer(load_run(world.run), FeatureStore.open(world.store), device="cpu")
    scores, bank = scorer.score(), scorer.score(texts="train")
    searcher = Searcher.open(world.run, subset="test", device="cpu")
    options = complete(Reranking(name), searcher.model.logit_scale.exp().item()).options
    expected = rerank(scores.similarity.astype(float), name, bank_sim=bank.similarity, **options)[0]
    texts = dict(
        zip(
            zip(searcher.store.caption_video_ids, searcher.store.caption_ids, strict=True),
            searcher.store.caption_texts,
            strict=True,
        )
    )
    hits = searcher.search(texts[scores.caption_video_ids[0], scores.caption_ids[0]], top=1000, rerank=name)
    found = {hit.id: hit.score for hit in hits}
    assert [hit.score for hit in hits] == sorted(found.values(), reverse=True)
    np.testing.assert_allclose([found[video] for video in scores.video_ids], expected, atol=0.06)


def test_a_re_ranking_that_cannot_be_had_is_said(world, store_maker: Maker) -> None:
    store = store_maker("s.h5", np.eye(4), np.eye(4), range(4), ["test"] * 4)
    with pytest.raises(CamoeError, match="--rerank nnn needs training captions, and the store has none"):
        fitted(Searcher.open(None, store, device="cpu"), "nnn", None)
    for question in ({"like": "clip0000"}, {"captions_for": "clip0000"}):
        with pytest.raises(CamoeError, match="rerank is for a text that searches videos; leave it out"):
            SearchConfig(run=world.run, rerank="nnn", **question)
