"""The built-in tiny CLIP: how it is trained and saved, and what the committed weights know."""

from __future__ import annotations

import copy
from functools import cache
from pathlib import Path

import camoe.extract.tiny
import clip
import numpy as np
import pytest
import torch
from camoe.extract.tiny import hard_stills, stills
from camoe.extract.tiny.forward import encode_kept, encode_pictures
from camoe.extract.tiny.lesson import Lesson, draw_stills
from camoe.extract.tiny.sentences import EDGE, END, NOUN, OTHER, START, VERB, drop_words, tokenise
from camoe.extract.tiny.train import LESSONS, Recipe, build_network, export, learning_rate_at, save, to_pixels, train
from camoe.pipeline.demo.captions import captions_of
from camoe.pipeline.demo.hard.world import make_clips as hard_clips
from camoe.pipeline.demo.render import draw_scene
from camoe.pipeline.demo.world import combinations_of, make_clips
from clip.model import CLIP

LENGTH = stills.LESSON.length
WEIGHTS = Path(camoe.extract.tiny.__file__).with_name("tiny.pt")
SMALL = Recipe(stills=64, steps=3, batch=16, warmup=1, vision_layers=1, text_layers=1, embed_dim=64)


@cache
def loaded() -> CLIP:
    return clip.load(str(WEIGHTS), device="cpu")[0]


def unit(embeddings: torch.Tensor) -> torch.Tensor:
    return embeddings / embeddings.norm(dim=-1, keepdim=True)


def test_weights_are_small() -> None:
    assert WEIGHTS.stat().st_size <= 10_000_000


def test_weights_load_by_clip_load() -> None:
    network, preprocess = clip.load(str(WEIGHTS), device="cpu")
    assert network.visual.input_resolution == 64
    assert network.context_length == 77
    assert network.vocab_size == 49408
    assert preprocess.transforms[0].size == 64


def test_weights_tell_held_out_clips_apart() -> None:
    """Mean pooling over four moments of the 64 clips of the small dataset, held-out ones included: chance is 1.6 %."""
    clips = make_clips("small")
    frames = np.concatenate([draw_scene(each, [0.1, 0.4, 0.6, 0.9]) for each in clips])
    small = torch.nn.functional.interpolate(
        torch.from_numpy(frames).permute(0, 3, 1, 2).float(), size=64, mode="bicubic", antialias=True
    )
    with torch.inference_mode():
        pictures = to_pixels(small.permute(0, 2, 3, 1).clamp(0, 255))
        video = unit(unit(loaded().encode_image(pictures)).view(len(clips), 4, -1).mean(dim=1))
        text = unit(loaded().encode_text(clip.tokenize([captions_of(each)[0] for each in clips])))
    ranks = (text @ video.T >= (text * video).sum(dim=1, keepdim=True)).sum(dim=1)
    assert (ranks == 1).float().mean() > 0.4
    assert (ranks <= 5).float().mean() > 0.8


def test_fast_forward_equals_clips_own() -> None:
    network = loaded()
    caption = "a small red star beside a blue ring drifts to the left over the sea"
    sentences = tokenise([caption], LENGTH)
    ids = torch.from_numpy(sentences.vocabulary[sentences.ids])
    picture = torch.randn(3, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        text = encode_kept(network, ids, torch.arange(LENGTH)[None], torch.float32)
        seen = encode_pictures(network, picture, torch.float32)
        torch.testing.assert_close(text, network.encode_text(clip.tokenize([caption])), rtol=1e-4, atol=1e-4)
        torch.testing.assert_close(seen, network.encode_image(picture), rtol=1e-4, atol=1e-4)


def test_dropping_words_equals_closing_them_to_attention() -> None:
    network = copy.deepcopy(loaded())
    tokens = clip.tokenize(["a small red star falls over the sea"])
    kept = [0, 4, 8, 9]  # start, star, sea, end
    with torch.inference_mode():
        short = encode_kept(network, tokens[:, kept], torch.tensor([kept]), torch.float32)
        mask = network.build_attention_mask()
        mask[:, [i for i in range(77) if i not in kept]] = float("-inf")
        mask.fill_diagonal_(0.0)
        for block in network.transformer.resblocks:
            block.attn_mask = mask
        torch.testing.assert_close(short, network.encode_text(tokens), rtol=1e-4, atol=1e-4)


def test_saved_network_equals_the_trained_one(tmp_path: Path) -> None:
    vocabulary = tokenise([caption for each in make_clips("small") for caption in captions_of(each)], LENGTH).vocabulary
    network = build_network(SMALL, len(vocabulary), LENGTH)
    save(export(network, vocabulary), tmp_path / "saved.pt")
    again, _ = clip.load(str(tmp_path / "saved.pt"), device="cpu")
    captions = captions_of(make_clips("small")[0])
    tokens = clip.tokenize(captions)
    compact = torch.from_numpy(np.searchsorted(vocabulary, tokens[:, :LENGTH].numpy())) * (tokens[:, :LENGTH] > 0)
    picture = torch.randn(2, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        text = encode_kept(network, compact, torch.arange(LENGTH).expand_as(compact), torch.float32)
        torch.testing.assert_close(again.encode_text(tokens), text, rtol=0.02, atol=0.01)
        torch.testing.assert_close(again.encode_image(picture), network.visual(picture), rtol=0.02, atol=0.01)


@pytest.mark.parametrize("lesson", LESSONS.values(), ids=LESSONS)
def test_training_is_deterministic_and_leaves_one_file(tmp_path: Path, lesson: Lesson) -> None:
    for name in ("one.pt", "two.pt"):
        train(SMALL, lesson, tmp_path / name, workers=1, bf16=False)
    one, two = (torch.load(tmp_path / name, weights_only=True) for name in ("one.pt", "two.pt"))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["one.pt", "two.pt"]
    assert all(torch.equal(one[name], two[name]) for name in one)
    assert one["visual.proj"].dtype == torch.float16


def test_stills_show_training_combinations_and_are_described() -> None:
    _, captions, _ = draw_stills(stills.LESSON, 8, seed=3, workers=1)
    trained = {(c.shape, c.colour) for c in combinations_of("train")}
    assert all(any(f"{colour} {shape}" in text for shape, colour in trained) for said in captions for text in said)


@pytest.mark.parametrize("lesson", LESSONS.values(), ids=LESSONS)
def test_stills_are_alike_each_time_with_facts_in_their_classes(lesson: Lesson) -> None:
    pixels, captions, facts = draw_stills(lesson, 8, seed=3, workers=1)
    assert pixels.shape == (8, 64, 64, 3)
    assert facts.shape == (8, len(lesson.fact_classes) + lesson.fact_measures)
    assert all(len(said) == 4 for said in captions)
    assert (facts[:, : len(lesson.fact_classes)] < lesson.fact_classes).all()
    again, said_again, _ = draw_stills(lesson, 8, seed=3, workers=1)
    assert np.array_equal(pixels, again)
    assert captions == said_again


def test_hard_stills_name_what_stands_where() -> None:
    clip = hard_clips("hard-small")[0]
    rng = np.random.default_rng(0)
    things = [f"{thing.colour} {thing.shape}" for thing in clip.things]
    for _ in range(20):
        said = hard_stills.describe_still(clip, 0.5, rng)
        assert any(thing in said for thing in things)


def test_tokens_are_those_of_clip() -> None:
    caption = "there is an orange triangle that dwindles above the meadow"
    sentences = tokenise([caption], LENGTH)
    expected = clip.tokenize([caption])[0, :LENGTH].numpy()
    assert np.array_equal(sentences.vocabulary[sentences.ids[0]] * (sentences.kind[0] >= 0), expected)
    kinds = dict(zip(expected.tolist(), sentences.kind[0].tolist(), strict=True))
    assert kinds[START] == kinds[END] == EDGE
    assert [int(k) for k in sentences.kind[0] if k >= 0][:6] == [EDGE, OTHER, OTHER, OTHER, OTHER, NOUN]
    assert VERB in kinds.values()


def test_overlong_caption_is_refused() -> None:
    with pytest.raises(ValueError, match="has 26 tokens; at most 24 fit"):
        tokenise(["star " * 24], LENGTH)


def test_dropped_words_leave_the_others_in_place() -> None:
    sentences = tokenise(["a small red star drifts to the left over the sea"] * 400, LENGTH)
    ids, positions = drop_words(sentences.ids, sentences.kind, sentences.word, np.random.default_rng(0))
    last = sentences.vocabulary.searchsorted(END)
    length, whole, nouns, verbs = int((sentences.kind[0] >= 0).sum()), 0, 0, 0
    for row, places in zip(ids, positions, strict=True):
        count = int(row.argmax()) + 1
        assert row[count - 1] == last
        assert (np.diff(places[:count]) > 0).all()
        assert np.array_equal(sentences.ids[0][places[:count]], row[:count])
        kinds = sentences.kind[0][places[1 : count - 1]]
        whole += count == length
        nouns += kinds.tolist() == [NOUN] * 3
        verbs += set(kinds.tolist()) == {VERB}
    assert 200 < whole < 280
    assert 30 < nouns < 90
    assert 30 < verbs < 90


def test_learning_rate_rises_then_falls_to_zero() -> None:
    recipe = Recipe(steps=1100, warmup=100)
    assert learning_rate_at(0, recipe) == pytest.approx(0.01)
    assert learning_rate_at(99, recipe) == 1.0
    assert learning_rate_at(600, recipe) == pytest.approx(0.5)
    assert learning_rate_at(1100, recipe) == pytest.approx(0.0)
