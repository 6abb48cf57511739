"""Word tokens as a model gets them: padded, masked, the same in any batch."""

from __future__ import annotations

import shlex
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from camoe.extract.cli import main as camoe_extract
from camoe.pipeline.errors import CamoeError
from camoe.pipeline.store import FeatureStore
from camoe.train.config import TrainConfig
from camoe.train.data import load_features
from camoe.train.feature_cache import FeatureCache
from camoe.train.names import MODELS, ModelFacts
from camoe.train.words import WordTokens
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

CPU = torch.device("cpu")
FIRST = Path(__file__).parents[1] / "fixtures" / "camoe-0.1.0"


def make_words(lengths: list[int], width: int = 4, *, raw: bool = True) -> WordTokens:
    offsets = torch.tensor([0, *np.cumsum(lengths).tolist()])
    draw = torch.Generator().manual_seed(0)
    values = torch.randn(int(offsets[-1]), width, generator=draw).half()
    row = torch.tensor([*range(len(lengths)), 0])  # the last caption reads as the first
    return WordTokens(values, offsets, row, max(lengths), raw)


@given(st.lists(st.integers(1, 6), min_size=1, max_size=6), st.data())
def test_padding_against_a_loop(lengths: list[int], data: st.DataObject) -> None:
    words = make_words(lengths)
    captions = data.draw(st.lists(st.integers(0, len(lengths)), min_size=1, max_size=8))
    length = data.draw(st.one_of(st.none(), st.integers(6, 9)))

    values, mask = words.padded(torch.tensor(captions), length)

    counts = [lengths[int(words.row[caption])] for caption in captions]
    assert values.shape == (len(captions), length or max(counts), 4)
    assert values.dtype == torch.float32
    assert mask.sum(1).tolist() == counts
    for row, caption in enumerate(captions):
        start = int(words.offsets[words.row[caption]])
        assert torch.equal(values[row, : counts[row]], words.values[start : start + counts[row]].float())
        assert not values[row, counts[row] :].any()
        assert mask[row, : counts[row]].all()


def test_several_axes_of_captions() -> None:
    words = make_words([2, 5, 3])
    captions = torch.tensor([[[0, 1], [2, 3]]])

    values, mask = words.padded(captions)

    assert (values.shape, mask.shape) == ((1, 2, 2, 5, 4), (1, 2, 2, 5))
    flat, _ = words.padded(captions.flatten())
    assert torch.equal(values.flatten(0, 2), flat)
    assert torch.equal(values[0, 0, 0], values[0, 1, 1])


def test_no_captions() -> None:
    values, mask = make_words([2]).padded(torch.empty(0, dtype=torch.int64))
    assert (values.shape, mask.shape) == ((0, 0, 4), (0, 0))


def test_words_are_of_norm_one_unless_raw() -> None:
    values, mask = make_words([2, 3], raw=False).padded(torch.tensor([0, 1]))
    torch.testing.assert_close(values.norm(dim=-1), mask.float())


def test_a_length_that_cuts_is_refused() -> None:
    with pytest.raises(ValueError, match="a caption has 5 tokens and room for 4"):
        make_words([2, 5]).padded(torch.tensor([0, 1]), 4)


# -- from a store


@pytest.fixture(scope="module")
def with_words(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store of the first version, to which the words were added."""
    path = tmp_path_factory.mktemp("words") / "store.h5"
    shutil.copy(FIRST / "store.h5", path)
    assert CliRunner().invoke(camoe_extract, ["--into", str(path), "--tokens"]).exit_code == 0
    return path


@pytest.mark.parametrize("raw", [True, False])
def test_the_last_word_is_the_sentence(with_words: Path, raw: bool) -> None:
    store = FeatureStore.open(with_words)
    features = load_features(store, {"fusion": "full"}, protocol=None, device=CPU, raw=raw, words=True)
    captions = torch.arange(len(features.caption_ids))

    values, mask = features.words_of(captions, features.shape.max_words)

    assert features.shape.max_words == store.word_tokens.longest == mask.sum(1).max()
    last = values[captions, mask.sum(1) - 1]
    torch.testing.assert_close(last, features.texts_of(captions)[0, :, 0, :-1], rtol=2e-3, atol=2e-4)


def test_words_are_loaded_only_where_they_are_asked_for(with_words: Path) -> None:
    features = load_features(FeatureStore.open(with_words), {"fusion": "full"}, protocol=None, device=CPU)
    assert features.words is None
    assert features.shape.max_words == 0
    with pytest.raises(ValueError, match="without word tokens"):
        features.words_of(torch.tensor([0]))


def test_a_sweeps_cell_sees_the_same_words(with_words: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = FeatureStore.open(with_words)
    cache = FeatureCache([str(with_words)], protocol=None, allow_missing=False, device=CPU)
    for raw in (True, False):
        monkeypatch.setitem(MODELS, "meanp", ModelFacts(".model:meanp", ("text_head",), raw=raw, words=True))
        ours = cache.features(
            TrainConfig(features=(str(with_words),), model="meanp", streams=("fusion",)).recipe.features
        )
        alone = load_features(store, {"fusion": "full"}, protocol=None, device=CPU, raw=raw, words=True)
        assert ours.shape == alone.shape
        for mine, theirs in zip(ours.words_of(torch.arange(4)), alone.words_of(torch.arange(4)), strict=True):
            assert torch.equal(mine, theirs)


def words_message(path: Path) -> str:
    """What is said of a store without words to a model that reads them."""
    with pytest.raises(CamoeError) as caught:
        load_features(FeatureStore.open(path), {"fusion": "full"}, protocol=None, device=CPU, words=True)
    return str(caught.value)


@pytest.mark.parametrize("name", ["store.h5", "folder"])
def test_the_message_gives_the_command_that_works(tmp_path: Path, name: str) -> None:
    store = tmp_path / "a store" / name
    shutil.copytree(FIRST, store.parent)

    message = words_message(store)

    assert message.startswith(f"{store} has no word tokens; add them with: camoe-extract --into ")
    command = shlex.split(message.split(": ", 1)[1])
    done = CliRunner().invoke(camoe_extract, command[1:])
    assert done.exit_code in (0, 3), done.output
    features = load_features(FeatureStore.open(store), {"fusion": "full"}, protocol=None, device=CPU, words=True)
    assert features.words is not None


def test_an_import_has_no_words_and_is_not_sent_to_a_command_that_fails(store_maker) -> None:
    assert words_message(store_maker("imported.h5", clip_sha256="imported")).endswith(
        "imported.h5 has no word tokens; import brings none, so they need the videos and captions themselves: "
        "camoe-extract --tokens"
    )
