from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from camoe.train.aggregators import AGGREGATORS, AttentionAggregator, TemporalLayer, masked_mean
from camoe.train.config import TrainConfig
from camoe.train.experts import Expert
from camoe.train.gate import GATES
from camoe.train.model import Dropout, FeatureShape, build_model
from camoe.train.names import MODELS
from camoe.train.text_heads import TEXT_HEADS
from camoe.train.words import with_words
from torch.nn import functional as F

SHAPE = FeatureShape(embed_dim=16, max_frames=5, clip_logit_scale=100.0)
COUNTS = torch.tensor([5, 1, 3, 2])
MASK = torch.arange(5) < COUNTS[:, None]


@pytest.fixture(autouse=True)
def _seeded() -> None:
    torch.manual_seed(0)


@pytest.fixture
def frames() -> torch.Tensor:
    drawn = torch.randn(4, 5, 16, generator=torch.Generator().manual_seed(0))
    return F.normalize(drawn, dim=-1) * MASK.unsqueeze(-1)


@pytest.fixture
def texts() -> torch.Tensor:
    return F.normalize(torch.randn(3, 6, 16, generator=torch.Generator().manual_seed(1)), dim=-1)


def config(**changes: object) -> TrainConfig:
    return TrainConfig(**({"features": "x.h5"} | changes))  # type: ignore[arg-type]


def disturb(module: torch.nn.Module) -> None:
    """Give every parameter another value, as training does."""
    generator = torch.Generator().manual_seed(7)
    with torch.no_grad():
        for name, parameter in module.named_parameters():
            if "logit_scale" not in name:
                parameter += 0.3 * torch.randn(parameter.shape, generator=generator).to(parameter.dtype)


def slow_zero_shot(texts: torch.Tensor, frames: torch.Tensor) -> torch.Tensor:
    """`100 · cos(text, mean frame)` pair by pair."""
    result = torch.zeros(len(texts), len(frames))
    for row, text in enumerate(texts):
        for column, video in enumerate(frames):
            mean = sum(video[: COUNTS[column]]) / int(COUNTS[column])
            result[row, column] = 100 * text @ mean / (text.norm() * mean.norm())
    return result


@pytest.mark.parametrize("aggregator", AGGREGATORS)
@pytest.mark.parametrize("gate", GATES)
@pytest.mark.parametrize("text_head", TEXT_HEADS)
def test_a_fusion_only_model_starts_as_zero_shot_exactly(
    aggregator: str, gate: str, text_head: str, frames: torch.Tensor, texts: torch.Tensor
) -> None:
    model = build_model(config(streams="fusion", aggregator=aggregator, gate=gate, text_head=text_head).recipe, SHAPE)
    zero_shot = build_model(config(model="zero-shot", streams="fusion").recipe, SHAPE)
    score = model.score(texts[:1], frames, MASK)
    assert torch.equal(score, zero_shot.score(texts[:1], frames, MASK))
    torch.testing.assert_close(score, slow_zero_shot(texts[0], frames), rtol=1e-5, atol=1e-4)


@pytest.mark.parametrize("name", ["meanp", "temporal"])
def test_the_baselines_start_as_zero_shot(name: str, frames: torch.Tensor, texts: torch.Tensor) -> None:
    zero_shot = build_model(config(model="zero-shot").recipe, SHAPE)
    model = build_model(config(model=name).recipe, SHAPE)
    assert torch.equal(model.score(texts, frames, MASK), zero_shot.score(texts, frames, MASK))


def test_zero_shot_with_three_streams_averages_their_scores(frames: torch.Tensor, texts: torch.Tensor) -> None:
    model = build_model(config(model="zero-shot").recipe, SHAPE)
    expected = sum(slow_zero_shot(stream, frames) for stream in texts) / 3
    torch.testing.assert_close(model.score(texts, frames, MASK), expected, rtol=1e-5, atol=1e-4)
    assert [name for name, parameter in model.named_parameters() if parameter.requires_grad] == []


def test_meanp_without_heads_learns_only_the_scale() -> None:
    model = build_model(config(model="meanp", text_head="none").recipe, SHAPE)
    assert [name for name, parameter in model.named_parameters() if parameter.requires_grad] == ["logit_scale"]


@pytest.mark.parametrize("name", AGGREGATORS)
def test_padding_never_matters(name: str, frames: torch.Tensor) -> None:
    aggregator = AGGREGATORS[name](embed_dim=16, max_frames=5, layers=2).double()
    disturb(aggregator)
    frames = frames.double()
    whole = aggregator(frames, MASK)
    for row, count in enumerate(COUNTS.tolist()):
        alone = aggregator(frames[row : row + 1, :count], MASK[row : row + 1, :count])
        torch.testing.assert_close(whole[row : row + 1], alone, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize(("name", "sees_order"), [("mean", False), ("se", False), ("attention", True)])
def test_only_attention_sees_the_order_of_frames(name: str, sees_order: bool, frames: torch.Tensor) -> None:
    aggregator = AGGREGATORS[name](embed_dim=16, max_frames=5, layers=1)
    disturb(aggregator)
    whole, flipped = aggregator(frames[:1], MASK[:1]), aggregator(frames[:1].flip(1), MASK[:1])
    assert torch.allclose(whole, flipped, atol=1e-5) is not sees_order


def test_masked_mean_by_hand() -> None:
    frames = torch.tensor([[[1.0, 3.0], [5.0, 5.0], [9.0, 9.0]]])
    assert masked_mean(frames, torch.tensor([[True, True, False]])).tolist() == [[3.0, 4.0]]


@pytest.mark.parametrize("layers", [1, 2])
def test_attention_equals_a_loop_over_frames(layers: int, frames: torch.Tensor) -> None:
    aggregator = AttentionAggregator(embed_dim=16, max_frames=5, layers=layers)
    disturb(aggregator)
    video = list(frames[2, :3])
    for layer in [*aggregator.earlier, aggregator.last]:
        assert isinstance(layer, TemporalLayer)
        triples = [
            layer.query_key_value(standardise(frame) + 4 * place).split(16)
            for frame, place in zip(video, aggregator.position[:3], strict=True)
        ]
        for time, (query, _, _) in enumerate(triples):
            share = torch.stack([query @ key / 4 for _, key, _ in triples]).softmax(0)
            mixed = sum(part * value for part, (_, _, value) in zip(share, triples, strict=True))
            frame = video[time] + layer.attention_out(mixed)
            video[time] = frame + layer.hidden_out(F.gelu(layer.hidden(standardise(frame))))
    torch.testing.assert_close(aggregator(frames, MASK)[2], torch.stack(video).mean(0), rtol=1e-5, atol=1e-5)


def standardise(frame: torch.Tensor) -> torch.Tensor:
    return (frame - frame.mean()) / (frame.var(correction=0) + 1e-5).sqrt()


def test_an_expert_by_hand() -> None:
    expert = Expert(AGGREGATORS["mean"](embed_dim=2, max_frames=1, layers=1), embed_dim=2, projection=True)
    assert expert.projection is not None
    with torch.no_grad():
        expert.projection.copy_(torch.tensor([[0.0, 1.0], [0.0, 0.0]]))
    frames = torch.tensor([[[3.0, 4.0]]])
    hidden = expert(frames, torch.ones(1, 1, dtype=torch.bool))
    torch.testing.assert_close(hidden, torch.tensor([[7.0, 4.0]]) / 65**0.5)


@pytest.mark.parametrize("name", GATES)
def test_gates_against_a_loop(name: str, frames: torch.Tensor) -> None:
    gate = GATES[name](streams=3, experts=3, embed_dim=16, fusion=0)
    disturb(gate)
    experts = F.normalize(torch.randn(4, 3, 16, generator=torch.Generator().manual_seed(2)), dim=-1)
    mixed = gate(experts, frames, MASK)
    assert mixed.shape == (4, 3, 16)
    mean = masked_mean(frames, MASK)
    for video in range(4):
        for stream in range(3):
            if name == "none" or (name == "single" and stream > 0):
                expected = experts[video, stream]
            else:
                weight = gate.weight if name == "single" else gate.weight[stream]  # type: ignore[index]
                share = (weight @ mean[video]).softmax(0)  # type: ignore[operator]
                expected = sum(share[e] * experts[video, e] for e in range(3))
            torch.testing.assert_close(mixed[video, stream], expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    ("streams", "experts", "gate"),
    [
        ("fusion", 3, "single"),
        ("fusion,entity,action", 1, "none"),
        ("fusion,entity", 5, "full"),
        ("entity,action", 2, "none"),
        ("fusion,a,b", 2, "single"),
    ],
)
def test_experts_and_streams_are_independent_numbers(
    streams: str, experts: int, gate: str, frames: torch.Tensor, texts: torch.Tensor
) -> None:
    model = build_model(config(streams=streams, experts=experts, gate=gate).recipe, SHAPE)
    assert model.expert_count == experts
    count = len(model.text_heads)
    assert model.similarity(texts[:count], frames, MASK).shape == (count, 6, 4)


def test_mixed_aggregators_and_weights(frames: torch.Tensor, texts: torch.Tensor) -> None:
    model = build_model(config(aggregator="mean,se,attention", stream_weights="2,1,1").recipe, SHAPE)
    disturb(model)
    sim = model.similarity(texts, frames, MASK)
    expected = 0.5 * sim[0] + 0.25 * sim[1] + 0.25 * sim[2]
    torch.testing.assert_close(model.score(texts, frames, MASK), expected)


def test_every_trainable_part_gets_a_gradient(frames: torch.Tensor, texts: torch.Tensor) -> None:
    model = build_model(config(aggregator="mean,se,attention", gate="full", text_head="linear").recipe, SHAPE)
    disturb(model)
    model.score(texts, frames, MASK)[0, 0].backward()
    assert [name for name, parameter in model.named_parameters() if parameter.grad is None] == []


def test_dropout_masks_come_from_outside(frames: torch.Tensor, texts: torch.Tensor) -> None:
    model = build_model(config().recipe, SHAPE)
    ones = Dropout(texts=torch.ones(3, 6, 16), experts=torch.ones(4, 3, 16))
    plain = model.similarity(texts, frames, MASK)
    assert torch.equal(model.similarity(texts, frames, MASK, ones), plain)
    half = Dropout(texts=ones.texts, experts=ones.experts.clone())
    half.experts[:, 1, ::2] = 0
    changed = model.similarity(texts, frames, MASK, half)
    assert not torch.equal(changed[1], plain[1])
    assert torch.equal(changed[2], plain[2])


@pytest.mark.parametrize(("start", "most"), [(20.0, 100.0), (100.0, 100.0), (117.33, 117.33)])
def test_the_scale_starts_at_the_stores_and_stays_below_100_or_that(start: float, most: float) -> None:
    model = build_model(config().recipe, FeatureShape(16, 5, start))
    assert model.logit_scale.exp().item() == pytest.approx(start, rel=1e-6)
    with torch.no_grad():
        model.logit_scale += 9
    model.clamp_scale()
    assert model.logit_scale.exp().item() == pytest.approx(most, rel=1e-5)


def test_building_is_seeded_and_leaves_the_global_generator_alone() -> None:
    torch.manual_seed(3)
    expected = torch.rand(1)
    torch.manual_seed(3)
    first, again, other = (build_model(config(seed=seed).recipe, SHAPE).state_dict() for seed in (1, 1, 2))
    assert torch.equal(torch.rand(1), expected)
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert not all(torch.equal(first[name], other[name]) for name in first)


@pytest.mark.parametrize("name", MODELS)
def test_double_precision_stays_double(name: str, frames: torch.Tensor, texts: torch.Tensor) -> None:
    words = MODELS[name].words
    recipe = config(model=name, **({"streams": ("fusion",)} if words else {})).recipe
    model, texts = build_model(recipe, replace(SHAPE, max_words=4)).double(), texts.double()
    if words:
        texts = with_words(texts[:1], torch.ones(texts.shape[1], 4, 16).double(), torch.ones(texts.shape[1], 4).bool())
    score = model.score(texts, frames.double(), MASK)
    assert score.dtype == torch.float64
