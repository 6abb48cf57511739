"""Models that compare words with frames: a query's words come from the text tower, a caption's from the store."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from camoe.evaluate.search.searcher import Searcher
from camoe.extract.config import ExtractConfig
from camoe.extract.run import extract
from camoe.pipeline.errors import CamoeError
from camoe.pipeline.store import FeatureStore
from camoe.train.config import TrainConfig
from camoe.train.loop import fit
from camoe.train.run_folder import load_run
from camoe.train.scoring import RunScorer

QUERY = "a pink moon expands over the grass"


@dataclass(frozen=True)
class Words:
    """A store that has word tokens, and `train(model)`: a run on it."""

    store: Path
    train: Callable[..., Path]


@pytest.fixture(scope="module")
def words(world, tmp_path_factory: pytest.TempPathFactory) -> Words:
    folder = tmp_path_factory.mktemp("words")
    store = folder / "shards.h5"
    captions = world.videos.parent / "captions.csv"
    extract(
        ExtractConfig(
            videos=world.videos, captions=captions, out=store, clip="tiny", fps=4.0, precision="fp32", device="cpu",
            tokens=True,
        )
    )  # fmt: skip

    def train(model: str, **settings: object) -> Path:
        out = folder / "-".join([model, *map(str, settings.values())])
        shared = {"features": (str(store),), "device": "cpu", "threads": 1, "streams": ("fusion",), "epochs": 1}
        return out if out.exists() else fit(TrainConfig(out=out, model=model, **shared, **settings))

    return Words(store, train)


@pytest.mark.parametrize("model", ["ti", "wti", "xclip"])
def test_captions_score_as_in_the_evaluation_and_typed_as_stored(words: Words, model: str) -> None:
    run = words.train(model, padding="published")
    scores = RunScorer(load_run(run), FeatureStore.open(words.store), device="cpu").score()
    searcher = Searcher.open(run, subset="test", device="cpu")
    keys = list(zip(searcher.store.caption_video_ids, searcher.store.caption_ids, strict=True))
    for row in (0, 7, 40):
        caption = keys.index((scores.caption_video_ids[row], scores.caption_ids[row]))
        stored = searcher.mix(searcher.score(searcher.caption_query(caption)))
        np.testing.assert_allclose(stored, scores.similarity[row], atol=1e-3)
        typed = searcher.mix(searcher.score(searcher.query(searcher.store.caption_texts[caption])))
        np.testing.assert_allclose(typed, stored, atol=0.05)  # the store rounds to float16


def test_everything_that_a_search_offers_works_with_words(words: Words, world) -> None:
    searcher = Searcher.open(words.train("wti"), device="cpu")
    hits = searcher.search(QUERY, top=3, without="grass", cutoff=-100)
    for hit in hits:
        assert hit.moment_s in searcher.gallery.times_s[searcher.row_of(hit.id)]
    assert [hit.score for hit in hits] == sorted((hit.score for hit in hits), reverse=True)
    assert searcher.search(like=world.videos / "clip0005.mp4")[0].id == "clip0005"
    by_id = searcher.captions_for("clip0003", top=4)
    by_file = searcher.captions_for(world.videos / "clip0003.mp4", top=4)
    assert [hit.id for hit in by_id] == [hit.id for hit in by_file]
    query = searcher.caption_query(searcher.store.caption_ids.index(by_id[0].id))
    assert by_id[0].score == pytest.approx(searcher.mix(searcher.score(query))[searcher.row_of("clip0003")], abs=1e-3)
    assert "captions" in searcher.cutoff.basis
    assert np.isfinite([searcher.cutoff.at(), searcher.auto_cutoff(searcher.query("a moon"))]).all()


def test_a_store_without_word_tokens_is_searched_and_calibrated_by_the_shipped_sentences(words: Words, world) -> None:
    searcher, own = Searcher.open(words.train("wti"), world.store, device="cpu"), Searcher.open(words.train("wti"))
    there, here = ({hit.id: hit.score for hit in each.search(QUERY, top=1000)} for each in (searcher, own))
    assert there == pytest.approx(here, abs=1e-3), "of two stores of the same clips, whose near ties may swap places"
    assert "unlikely sentences" in searcher.cutoff.basis
    with pytest.raises(CamoeError, match="has no word tokens"):
        searcher.captions_for("clip0003")


def test_a_query_that_is_too_long_for_a_model_that_fixes_the_length_is_refused(words: Words) -> None:
    searcher = Searcher.open(words.train("xclip", padding="published"), device="cpu")
    with pytest.raises(CamoeError, match=r"the query has \d+ tokens and .* at most \d+; shorten it"):
        searcher.search("a pink moon " * 12)
    assert Searcher.open(words.train("wti"), device="cpu").search("a pink moon " * 12)
