"""What all heads keep to: padding does not count, blocks do not show, and where a head starts."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from camoe.pipeline.errors import CamoeError
from camoe.train.heads.afa import AFA
from camoe.train.heads.dicosa import DiCoSA
from camoe.train.heads.emcl import Emcl
from camoe.train.heads.query_scoring import QueryScoring
from camoe.train.heads.ti import TokenInteraction
from camoe.train.heads.tmass import TMass
from camoe.train.heads.wti import WeightedTokenInteraction
from camoe.train.heads.xclip import XCLIP
from camoe.train.heads.xpool import XPool
from camoe.train.scorer import Dropout, Scorer
from camoe.train.words import parts, with_words
from torch.nn import functional as F

TEXTS, VIDEOS, WORDS, FRAMES, WIDTH = 7, 5, 6, 4, 16
HEADS: dict[str, Callable[..., Scorer]] = {
    "query-scoring": lambda embed_dim=WIDTH, **options: QueryScoring(**options),
    "xpool": lambda embed_dim=WIDTH, **options: XPool(**options, embed_dim=embed_dim),
    "tmass": lambda embed_dim=WIDTH, **options: TMass(**options, embed_dim=embed_dim, max_frames=FRAMES, trials=3),
    "dicosa": lambda embed_dim=WIDTH, **options: DiCoSA(**options, embed_dim=embed_dim, max_frames=FRAMES),
    "afa": lambda embed_dim=WIDTH, **options: AFA(**options, embed_dim=embed_dim, max_frames=FRAMES),
    "ti": lambda embed_dim=WIDTH, **options: TokenInteraction(**options, embed_dim=embed_dim, max_frames=FRAMES),
    "wti": lambda embed_dim=WIDTH, **options: WeightedTokenInteraction(
        **options, embed_dim=embed_dim, max_frames=FRAMES
    ),
    "xclip": lambda embed_dim=WIDTH, **options: XCLIP(
        **options, embed_dim=embed_dim, max_frames=FRAMES, max_words=WORDS
    ),
}
READ_WORDS = ("ti", "wti", "xclip")
NEAR_ZERO_SHOT = ("query-scoring", "tmass", "dicosa", "afa", "xpool")


def head(name: str, *, drawn: bool = True, streams: int = 1, **options: Any) -> Scorer:
    """In float64, with parameters drawn anew so that nothing is zero or an identity."""
    torch.manual_seed(1)
    text_side = {"text_heads": [torch.nn.Identity()] * streams, "weights": [1 / streams] * streams, "logit_scale": 1.0}
    model = HEADS[name](**text_side, **options).double()
    if drawn:
        for parameter in model.parameters():
            parameter.data += 0.2 * torch.randn_like(parameter)
    model.logit_scale.data.zero_()
    return model


class Given:
    """Texts with words, frames, their masks; padding holds numbers, not zeros."""

    def __init__(self, streams: int = 1) -> None:
        draw = torch.Generator().manual_seed(0)

        def random(*shape: int) -> torch.Tensor:
            return torch.randn(*shape, generator=draw, dtype=torch.float64)

        self.mask = torch.arange(FRAMES) < torch.tensor([4, 1, 3, 2, 2])[:, None]
        self.word_mask = torch.arange(WORDS) < torch.tensor([6, 1, 3, 2, 5, 4, 2])[:, None]
        self.frames = 3 * random(VIDEOS, FRAMES, WIDTH)
        self.sentences = 3 * random(streams, TEXTS, WIDTH)
        self.words = 3 * random(TEXTS, WORDS, WIDTH)

    def texts(self, name: str) -> torch.Tensor:
        return with_words(self.sentences, self.words, self.word_mask) if name in READ_WORDS else self.sentences

    def score(self, model: Scorer, name: str) -> torch.Tensor:
        return model.similarity(self.texts(name), self.frames, self.mask).detach()


@pytest.mark.parametrize("name", HEADS)
def test_padded_frames_do_not_count(name: str) -> None:
    given, model = Given(), head(name)
    whole = given.score(model, name)
    for video, count in enumerate(given.mask.sum(1).tolist()):
        cut = slice(video, video + 1)
        frames = given.frames[cut, :count]
        alone = model.similarity(given.texts(name), frames, given.mask[cut, :count])
        torch.testing.assert_close(whole[..., cut], alone.detach(), rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("name", READ_WORDS)
def test_padded_words_do_not_count(name: str) -> None:
    given, model = Given(), head(name)
    whole = given.score(model, name)
    for text, count in enumerate(given.word_mask.sum(1).tolist()):
        row = slice(text, text + 1)
        cut = with_words(given.sentences[:, row], given.words[row, :count], given.word_mask[row, :count])
        alone = model.similarity(cut, given.frames, given.mask).detach()
        torch.testing.assert_close(whole[:, row], alone, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("name", HEADS)
def test_published_padding_is_the_same_where_there_is_none(name: str) -> None:
    given = Given()
    given.mask[:], given.word_mask[:] = True, True
    masked, published = (given.score(head(name, padding=padding), name) for padding in ("masked", "published"))
    torch.testing.assert_close(masked, published)
    given = Given()
    if name != "query-scoring":
        assert not torch.allclose(given.score(head(name, padding="published"), name), given.score(head(name), name))


@pytest.mark.parametrize("transductive", [False, True], ids=["plain", "emcl"])
@pytest.mark.parametrize("name", HEADS)
def test_blocks_do_not_show(name: str, transductive: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    given, model = Given(streams=2), head(name, streams=2)
    if transductive:
        model.emcl = Emcl(4).eval()
    whole = given.score(model, name)
    for numbers in (1, 40, 3 * VIDEOS * WIDTH):
        monkeypatch.setattr("camoe.train.heads.blocks.BLOCK", numbers)
        torch.testing.assert_close(given.score(model, name), whole)
    monkeypatch.undo()
    for numbers, texts in ((1, 1), (4 * WIDTH, 2), (8 * WORDS * FRAMES, 3)):
        monkeypatch.setattr("camoe.train.heads.blocks.PIECE", numbers)
        monkeypatch.setattr("camoe.train.heads.blocks.TEXTS", texts)
        with torch.no_grad():
            torch.testing.assert_close(given.score(model, name), whole)


@pytest.mark.parametrize("name", [name for name in HEADS if name != "afa"])
def test_a_score_is_that_of_its_text_and_video_alone(name: str) -> None:
    given, model = Given(), head(name)
    whole, texts = given.score(model, name), given.texts(name)
    alone = model.similarity(texts[:, 3:4], given.frames[2:3], given.mask[2:3]).detach()
    torch.testing.assert_close(alone[0, 0, 0], whole[0, 3, 2])


@pytest.mark.parametrize("name", HEADS)
def test_with_emcl_a_score_depends_on_the_others(name: str) -> None:
    given, model = Given(), head(name)
    before = given.score(model, name)
    model.emcl = Emcl(4).eval()
    after = given.score(model, name)
    assert after.isfinite().all()
    assert not torch.allclose(before, after)
    few = model.similarity(given.texts(name)[:, :2], given.frames, given.mask).detach()
    assert not torch.allclose(few, after[:, :2])


@pytest.mark.parametrize("name", NEAR_ZERO_SHOT)
def test_an_untrained_head_is_near_zero_shot(name: str) -> None:
    torch.manual_seed(0)
    width = 128
    mask = torch.arange(FRAMES) < torch.tensor([4, 1, 3, 2, 2])[:, None]
    video = torch.randn(VIDEOS, 1, width, dtype=torch.float64)
    frames = 10 * F.normalize(video + 0.3 * torch.randn(VIDEOS, FRAMES, width), dim=-1)
    texts = 10 * F.normalize(torch.cat([video[:, 0], video[:2, 0]]) + torch.randn(TEXTS, width), dim=-1)[None]
    units = F.normalize(frames, dim=-1) * mask[..., None]
    zero_shot = F.normalize(texts[0], dim=-1) @ F.normalize(units.sum(1), dim=-1).T
    found = head(name, drawn=False, embed_dim=width).similarity(texts, frames, mask)[0].detach()
    apart = (found - zero_shot).abs().max()
    assert apart < {"dicosa": 0.15}.get(name, 0.05)
    correlation = torch.corrcoef(torch.stack([found.flatten(), zero_shot.flatten()]))[0, 1]
    assert correlation > 0.9


def test_tmass_without_trials_is_xpool_and_more_trials_raise_it() -> None:
    given, model = Given(), head("tmass")
    assert isinstance(model, TMass)
    model.trials = 0
    point = given.score(model, "tmass")
    pooling = head("xpool")
    pooling.load_state_dict(model.state_dict(), strict=False)
    torch.testing.assert_close(point, given.score(pooling, "xpool"))
    model.trials = 20
    drawn = given.score(model, "tmass")
    torch.testing.assert_close(drawn, given.score(model, "tmass"), rtol=0, atol=0)
    assert (drawn - point).abs().max() > 1e-3
    model.radius_proj.bias.data.fill_(-30)
    model.radius_proj.weight.data.zero_()
    torch.testing.assert_close(given.score(model, "tmass"), point)


def test_tmass_trials_are_the_plain_cosines() -> None:
    given, model = Given(), head("tmass")
    assert isinstance(model, TMass)
    texts, videos = given.sentences[0], model.encode_videos(given.frames, given.mask)[0]
    pooled = model.pool(texts, videos, given.mask)
    noise = torch.rand(3, WIDTH, dtype=torch.float64)
    found = model.trial_cosines(texts, pooled, videos, noise.expand(1, 1, -1, -1))
    radius = model.log_radius(texts.unsqueeze(1), videos).exp()
    plain = (texts[:, None, None] + noise * radius[:, :, None], pooled[:, :, None])
    torch.testing.assert_close(found, F.cosine_similarity(*plain, dim=-1))


@pytest.mark.parametrize("name", ["tmass", "dicosa", "ti", "wti"])
@pytest.mark.parametrize("repeats", [1, 2])
def test_a_heads_own_loss_has_gradients(name: str, repeats: int) -> None:
    given, model = Given(streams=2), head(name, streams=2)
    texts = given.texts(name)[:, :VIDEOS].repeat(1, repeats, *[1] * (given.texts(name).ndim - 2))
    encoded = model.encode_texts(texts), model.encode_videos(given.frames, given.mask)
    noise = Dropout(noise=torch.rand(2, repeats * VIDEOS, WIDTH, dtype=torch.float64))

    def loss_of(sim: torch.Tensor) -> torch.Tensor:
        assert sim.shape == (2, repeats * VIDEOS, VIDEOS)
        return sim.logsumexp(-1).mean(-1)

    losses = model.own_loss(*encoded, given.mask, noise, loss_of)
    assert losses.shape == (2,)
    losses.sum().backward()
    found = [parameter.grad for parameter in model.parameters() if parameter.grad is not None]
    assert all(gradient.isfinite().all() for gradient in found)
    assert any(gradient.abs().max() > 0 for gradient in found)


def test_tmass_draws_for_training_by_each_texts_own_video() -> None:
    given, model = Given(), head("tmass")
    assert isinstance(model, TMass)
    texts, noise = given.sentences[:, :VIDEOS], torch.rand(1, VIDEOS, WIDTH, dtype=torch.float64)
    videos = model.encode_videos(given.frames, given.mask)
    found = model.compare(texts, videos, given.mask, Dropout(noise=noise))
    pooled = model.pool(texts[0], videos[0], given.mask)
    for row in range(VIDEOS):
        radius = model.log_radius(texts[0, row], videos[0, row]).exp()
        drawn = texts[0, row] + noise[0, row] * radius
        torch.testing.assert_close(found[0, row], F.cosine_similarity(drawn[None], pooled[row], dim=-1))


def test_words_and_their_mask_come_back() -> None:
    given = Given(streams=3)
    sentences, words, mask = parts(with_words(given.sentences, given.words, given.word_mask))
    torch.testing.assert_close(sentences, given.sentences)
    for stream in range(3):
        torch.testing.assert_close(words[stream], given.words)
        assert torch.equal(mask[stream], given.word_mask)


def test_emcl_learns_its_row_in_training_alone() -> None:
    given, model = Given(), head("query-scoring")
    model.emcl = Emcl(4)
    begun = model.emcl.bases.clone()
    with torch.no_grad():
        given.score(model, "query-scoring")
        model.similarity(given.sentences, given.frames, given.mask)
    model.eval()
    given.score(model, "query-scoring")
    assert torch.equal(model.emcl.bases, begun)
    model.train()
    given.score(model, "query-scoring")
    assert not torch.equal(model.emcl.bases, begun)


@pytest.mark.parametrize("name", [name for name in HEADS if name != "tmass"])
def test_which_heads_read_the_order_of_frames(name: str) -> None:
    given, model = Given(), head(name)
    texts, frames, whole = given.texts(name), given.frames[:1], torch.ones(1, FRAMES, dtype=torch.bool)
    forwards, backwards = (model.similarity(texts, video, whole).detach() for video in (frames, frames.flip(1)))
    assert torch.allclose(forwards, backwards) != (name in ("dicosa", "afa", "ti", "wti", "xclip"))


def test_dicosas_own_loss_is_that_of_each_text_with_its_own_video() -> None:
    given, model = Given(), head("dicosa")
    assert isinstance(model, DiCoSA)
    texts, videos = given.sentences[:, :VIDEOS], model.encode_videos(given.frames, given.mask)
    own = model.pool(texts[0], videos[0], given.mask).diagonal().T
    found = model.own_loss(texts, videos, given.mask, None, torch.sum)
    torch.testing.assert_close(found, model.decorrelation(texts[0], own)[None])


def test_dicosa_refuses_widths_without_blocks() -> None:
    text_side: dict[str, Any] = {"text_heads": [torch.nn.Identity()], "weights": [1.0], "logit_scale": 1.0}
    with pytest.raises(CamoeError, match="8 blocks of several numbers; 30 numbers do not make them"):
        DiCoSA(**text_side, embed_dim=30, max_frames=FRAMES)
