from __future__ import annotations

import numpy as np
import pytest
from camoe.evaluate.search.cutoff import Cutoff
from camoe.evaluate.search.phrases import length_of, phrases, places
from camoe.evaluate.search.searcher import Searcher
from camoe.extract.words import Tagger, split_words
from camoe.pipeline.demo.world import make_clips


def test_phrases_are_what_stands_together() -> None:
    found = [" ".join(phrase) for phrase in phrases("A red star falls over the sea", Tagger())]
    assert found == ["red star", "red star falls", "star", "star falls", "sea"]


def test_phrases_are_found_where_they_stand() -> None:
    texts = ["a Red star falls", "a star, red", "the red starfish", "red star"]
    assert places([("red", "star"), ("sea",)], texts) == {("red", "star"): [0, 3], ("sea",): []}


@pytest.mark.parametrize(
    ("text", "length"), [("a star", 1), ("The red star!", 2), ("stars over the sea", 3), ("...", 0)]
)
def test_articles_and_marks_are_no_words(text: str, length: int) -> None:
    assert length_of(split_words(text)) == length


@pytest.mark.parametrize("name", ["searcher", "zero_shot"])
def test_short_queries_keep_their_videos_and_nonsense_has_few(name: str, request: pytest.FixtureRequest) -> None:
    searcher: Searcher = request.getfixturevalue(name)
    shown: dict[str, set[str]] = {}
    for clip in make_clips("small"):
        shown.setdefault(f"a {clip.combination.colour} {clip.combination.shape}", set()).add(clip.video_id)
    kept = [bool(shown[text] & hits(searcher, text)) for text in shown]
    assert np.mean(kept) >= 0.8
    nonsense = ("two dogs", "the parliament debates", "tax law", "cooking onions", "a football player scores a goal")
    assert np.mean([len(hits(searcher, text)) for text in nonsense]) <= 0.2 * len(searcher.gallery)


def hits(searcher: Searcher, text: str) -> set[str]:
    return {hit.id for hit in searcher.search(text, top=64, cutoff=searcher.auto_cutoff(searcher.query(text)))}


def test_the_cut_off_grows_with_a_querys_length_to_that_of_captions(searcher: Searcher) -> None:
    cutoff = searcher.cutoff
    assert cutoff.short is not None
    typical = np.zeros((3, len(cutoff.short.sample)), np.float32)
    values = [cutoff.of_short(length, typical) for length in (1, 2, 3, 4, 5, 6, 7, 20)]
    assert values[0] == values[1] == values[2] < values[3] <= values[4]
    assert values == sorted(values)
    assert values[-1] == pytest.approx(cutoff.at())
    assert cutoff.sample_for(20) is None
    long = "there is a small red star that falls above the water"
    assert searcher.auto_cutoff(searcher.query(long)) == cutoff.at()
    assert cutoff.basis_of(20) == cutoff.basis


def test_a_phrase_of_a_large_store_has_at_least_the_videos_that_it_is_from(
    zero_shot: Searcher, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("camoe.evaluate.search.cutoff.MOST_READ", 1)
    short = Cutoff.of(zero_shot).short
    assert short is not None
    assert np.isfinite(short.own.max(axis=2)).all()


def test_a_search_by_a_video_has_no_cut_off(searcher: Searcher, world) -> None:
    assert searcher.auto_cutoff(searcher.query(like="clip0005")) is None
    assert searcher.auto_cutoff(searcher.query(like=world.videos / "clip0005.mp4")) is None


def test_it_is_much_the_same_where_only_the_nearest_are_compared(
    searcher: Searcher, monkeypatch: pytest.MonkeyPatch
) -> None:
    query = searcher.query("a pink moon")
    expected = searcher.auto_cutoff(query)
    monkeypatch.setattr(type(searcher.ranker), "candidates", 10)
    assert searcher.auto_cutoff(query) == pytest.approx(expected, abs=1e-3)
