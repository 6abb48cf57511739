"""Models of one architecture trained as one: stacked parameters, one batched forward and backward pass, one AdamW.

Members differ in their parameters, batches, sentences, loss, learning rate and all that is not the architecture. None
sees another: each follows the path of its single run, to rounding.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable, Sequence
from functools import partial

import torch
from torch import nn
from torch.func import functional_call, vmap
from torch.nn.attention import SDPBackend, sdpa_kernel

from .data import BatchSampler, Features, draw_dropout
from .gather import batches
from .optimiser import update
from .recipe import Recipe
from .scorer import Dropout, Scorer
from .step import at_least_float32, caption_losses, in_precision
from .trainer import schedule


class Layout:
    """Where each trainable parameter lies in a member's row of `P` numbers: those that decay first."""

    def __init__(self, model: Scorer) -> None:
        trained = {name: value for name, value in model.named_parameters() if value.requires_grad}
        names = sorted(trained, key=lambda name: trained[name].ndim < 2)
        self.shapes = {name: trained[name].shape for name in names}
        self.sizes = [trained[name].numel() for name in names]
        self.decaying = sum(value.numel() for value in trained.values() if value.ndim >= 2)
        self.scale = sum(self.sizes[: names.index("logit_scale")])

    def pack(self, model: Scorer) -> torch.Tensor:
        """`(P,)`"""
        values = dict(model.named_parameters())
        return torch.cat([values[name].detach().flatten() for name in self.shapes])

    def unpack(self, flat: torch.Tensor) -> dict[str, torch.Tensor]:
        """`(…, P)` -> each parameter `(…, *shape)`, views."""
        parts = flat.split(self.sizes, dim=-1)
        return {
            name: part.view((*flat.shape[:-1], *shape))
            for (name, shape), part in zip(self.shapes.items(), parts, strict=True)
        }


class _Similarity(nn.Module):
    """A scorer whose call is `similarity`, as `functional_call` needs it; encoders in bf16 where it is asked."""

    def __init__(self, scorer: Scorer, precision: str) -> None:
        super().__init__()
        self.scorer, self.precision = scorer, precision

    def forward(
        self,
        texts: torch.Tensor,
        frames: torch.Tensor,
        mask: torch.Tensor,
        keep_texts: torch.Tensor | None,
        keep_experts: torch.Tensor | None,
    ) -> torch.Tensor:
        dropout = None if keep_texts is None or keep_experts is None else Dropout(keep_texts, keep_experts)
        with in_precision(frames.device, self.precision):
            encoded = self.scorer.encode_texts(texts, dropout), self.scorer.encode_videos(frames, mask, dropout)
        readings, videos = map(at_least_float32, encoded)
        return self.scorer.compare(readings, videos, mask)


class Draws:
    """Batches and dropout masks of every member, drawn as its single run draws them; what two share is drawn once."""

    def __init__(self, model: Scorer, features: Sequence[Features], recipes: Sequence[Recipe]) -> None:
        self.model, self.recipes, self.device = model, list(recipes), features[0].device
        self.embed_dim = features[0].shape.embed_dim
        self.samplers: dict[int, BatchSampler] = {}
        self.noise: dict[tuple[int, float], torch.Generator] = {}
        for recipe, own in zip(recipes, features, strict=True):
            batches = recipe.batches
            if recipe.seed not in self.samplers:
                self.samplers[recipe.seed] = BatchSampler(own, batches.size, recipe.seed, batches.captions_per_video)
            self.noise[recipe.seed, batches.dropout] = torch.Generator(self.device).manual_seed(recipe.seed)

    @property
    def sampler(self) -> BatchSampler:
        """Any: their sizes are the same."""
        return next(iter(self.samplers.values()))

    def epoch(self) -> torch.Tensor:
        """`(steps, members, K, B)` rows of captions."""
        drawn = {seed: sampler.epoch() for seed, sampler in self.samplers.items()}
        return torch.stack([drawn[recipe.seed] for recipe in self.recipes], dim=1).to(self.device)

    def dropout(self, captions: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor] | None:
        """Masks for texts `(members, S, K·B, D)` and experts `(members, B, E, D)`; ones at rate 0, none if all are."""
        drawn = {
            (seed, rate): _masks(draw_dropout(self.model, rate, captions[0], self.embed_dim, generator))
            for (seed, rate), generator in self.noise.items()
        }
        some = next((masks for masks in drawn.values() if masks is not None), None)
        if some is None:
            return None
        texts, experts = some
        ones = torch.ones_like(texts), torch.ones_like(experts)
        kept = [drawn[recipe.seed, recipe.batches.dropout] or ones for recipe in self.recipes]
        return torch.stack([texts for texts, _ in kept]), torch.stack([experts for _, experts in kept])

    def keep(self, rows: Sequence[int]) -> None:
        """Go on with these members."""
        self.recipes = [self.recipes[row] for row in rows]
        seeds = {recipe.seed for recipe in self.recipes}
        self.samplers = {seed: sampler for seed, sampler in self.samplers.items() if seed in seeds}
        pairs = {(recipe.seed, recipe.batches.dropout) for recipe in self.recipes}
        self.noise = {pair: generator for pair, generator in self.noise.items() if pair in pairs}


def _masks(dropout: Dropout | None) -> tuple[torch.Tensor, torch.Tensor] | None:
    """The masks that models which can be stacked take."""
    if dropout is None:
        return None
    assert dropout.texts is not None
    assert dropout.experts is not None
    return dropout.texts, dropout.experts


class _Alike:
    """Members by what they share, so that each kind is worked on at once."""

    def __init__(self, kinds: Sequence[Hashable], device: torch.device) -> None:
        found: dict[Hashable, list[int]] = {}
        for member, kind in enumerate(kinds):
            found.setdefault(kind, []).append(member)
        self.groups: list[tuple[list[int], torch.Tensor | slice]] = [
            (members, torch.tensor(members, device=device) if len(found) > 1 else slice(None))
            for members in found.values()
        ]
        self.order = torch.tensor([member for members, _ in self.groups for member in members]).argsort().to(device)

    def over(self, work: Callable[[list[int], torch.Tensor | slice], torch.Tensor]) -> torch.Tensor:
        """`work(members, their rows)` of every group, joined along dimension 0 in the members' order."""
        parts = [work(members, rows) for members, rows in self.groups]
        return parts[0] if len(parts) == 1 else torch.cat(parts)[self.order]


class Ensemble:
    """`M` members in step; `flat (M, P)` are their parameters."""

    def __init__(self, models: Sequence[Scorer], features: Sequence[Features], recipes: Sequence[Recipe]) -> None:
        self.model = models[0]
        self.layout = Layout(self.model)
        self.similarity = _Similarity(self.model, recipes[0].step.precision)
        self.features, self.recipes = list(features), list(recipes)
        self.flat = torch.stack([self.layout.pack(model) for model in models]).requires_grad_()
        self.weights = torch.stack([model.weights for model in models])
        self.moments = torch.zeros_like(self.flat.detach()), torch.zeros_like(self.flat.detach())
        self.steps = torch.zeros(2, len(recipes), device=self.flat.device)
        self.draws = Draws(self.model, features, recipes)
        self.taken = 0
        self._sort()

    def _sort(self) -> None:
        """What a step needs to know of who is alike, put on the device once."""
        device = self.flat.device
        self.clip = self.flat.new_tensor([recipe.optimisation.clip_gradient for recipe in self.recipes])
        self.losses_alike = _Alike([recipe.step.loss for recipe in self.recipes], device)
        streams = range(len(self.features[0].texts))
        self.texts_alike = [_Alike([id(own.texts[stream]) for own in self.features], device) for stream in streams]

    def __len__(self) -> int:
        return len(self.recipes)

    def epoch(self) -> torch.Tensor:
        """A pass over the training videos: `(steps, M, S + 2)`, each step's stream losses, gradient norm and scale."""
        drawn = batches(self.features, self.draws.epoch())
        return torch.stack([self.step(captions, features) for features, captions in drawn])

    def step(self, captions: torch.Tensor, features: Sequence[Features] | None = None) -> torch.Tensor:
        """One update of every member with its own `captions (M, K, B)`; returns `(M, S + 2)`.

        `features`, where they were fetched for this step, are those that the rows `captions` mean.
        """
        losses = self.losses(captions, features)
        (self.weights.to(losses.dtype) * losses).sum().backward()
        gradient = self.flat.grad
        assert gradient is not None
        with torch.no_grad():
            norm = gradient.norm(dim=1)
            gradient.mul_((self.clip / (norm + 1e-6)).clamp_(max=1.0)[:, None])
            self._update(gradient)
            scale = self.flat[:, self.layout.scale]
            scale.clamp_(max=math.log(self.model.max_logit_scale))
            told = torch.cat([losses, norm[:, None], scale.exp()[:, None]], dim=1)
        self.flat.grad = None
        return told

    def losses(self, captions: torch.Tensor, features: Sequence[Features] | None = None) -> torch.Tensor:
        """`L(sim_s)` of every member and stream `(M, S)`; `features` as in `step`."""
        members, size, batch = captions.shape
        features = features or self.features
        first = features[0]
        assert isinstance(first.frames, torch.Tensor)
        rows = first.video_of_caption[captions[:, 0]]
        texts = self._texts(captions.flatten(1), features)
        masks = self.draws.dropout(captions)
        parameters = {f"scorer.{name}": value for name, value in self.layout.unpack(self.flat).items()}

        def one(own: dict[str, torch.Tensor], *inputs: torch.Tensor | None) -> torch.Tensor:
            return functional_call(self.similarity, own, inputs)

        inputs = (texts, first.frames[rows], first.mask[rows], *(masks or (None, None)))
        dims = (0, 0, 0, 0, *((None, None) if masks is None else (0, 0)))
        with sdpa_kernel(SDPBackend.MATH):  # the fused kernels have no batching rule everywhere
            sim = vmap(one, in_dims=dims)(parameters, *inputs)
        return self._losses_of(sim.view(members, -1, size, batch, batch), captions, features)

    def _losses_of(self, sim: torch.Tensor, captions: torch.Tensor, features: Sequence[Features]) -> torch.Tensor:
        """Members with one kind of loss go through it together: `(M, S, K, B, B)` -> `(M, S)`."""

        def losses(members: list[int], rows: torch.Tensor | slice) -> torch.Tensor:
            loss, same = self.recipes[members[0]].step.loss, None
            if loss.duplicate_text != "negative":
                same = torch.stack([features[member].same_text(captions[member]) for member in members])
            return caption_losses(sim[rows], loss, same)

        return self.losses_alike.over(losses)

    def _texts(self, captions: torch.Tensor, features: Sequence[Features]) -> torch.Tensor:
        """`(M, K·B)` -> `(M, S, K·B, D)`: members that read one table are looked up at once."""

        def looked_up(stream: int, members: list[int], rows: torch.Tensor | slice) -> torch.Tensor:
            table = features[members[0]].texts[stream]
            assert isinstance(table.embedding, torch.Tensor)
            return table.embedding[table.row[captions[rows]]]

        return torch.stack(
            [alike.over(partial(looked_up, place)) for place, alike in enumerate(self.texts_alike)], dim=1
        )

    def _update(self, gradient: torch.Tensor) -> None:
        """The trainer's fused AdamW on every member's row; matrices decay, the rest does not."""
        alike: dict[tuple[float, float], list[int]] = {}
        for member, recipe in enumerate(self.recipes):
            optimisation = recipe.optimisation
            total = optimisation.epochs * self.draws.sampler.steps
            rate = optimisation.learning_rate * schedule(self.taken, total, optimisation.warmup)
            alike.setdefault((rate, optimisation.weight_decay), []).append(member)
        self.taken += 1
        cut = self.layout.decaying
        for (rate, decay), members in alike.items():
            for part, columns in enumerate((slice(0, cut), slice(cut, None))):
                update(
                    [self.flat[member, columns] for member in members],
                    [gradient[member, columns] for member in members],
                    [
                        {
                            "step": self.steps[part, member],
                            "exp_avg": self.moments[0][member, columns],
                            "exp_avg_sq": self.moments[1][member, columns],
                        }
                        for member in members
                    ],
                    rate=rate,
                    decay=0.0 if part else decay,
                )

    def load(self, member: int) -> Scorer:
        """The one model, with this member's parameters."""
        with torch.no_grad():
            values = self.layout.unpack(self.flat[member])
            for name, parameter in self.model.named_parameters():
                if name in values:
                    parameter.copy_(values[name])
            self.model.weights.copy_(self.weights[member])
        return self.model

    def keep(self, rows: Sequence[int]) -> None:
        """Go on with these members; the others have left."""
        chosen = torch.tensor(rows, device=self.flat.device)
        self.flat = self.flat.detach()[chosen].requires_grad_()
        self.moments = (self.moments[0][chosen], self.moments[1][chosen])
        self.weights, self.steps = self.weights[chosen], self.steps[:, chosen].contiguous()
        self.features = [self.features[row] for row in rows]
        self.recipes = [self.recipes[row] for row in rows]
        self.draws.keep(rows)
        self._sort()
