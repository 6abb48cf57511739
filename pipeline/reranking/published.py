"""The outputs of published re-ranking code, computed anew from its inputs.

A file has keys `<case>/input|param|output/<name>`, `<name>` an array of a published run. `outputs` gives our arrays for
a case, to be held against the file's: scores as published, exponentiated where the code does so.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

import numpy as np
import torch

from .balance import BankSinkhorn
from .base import ALL, Reranker, fit, held
from .neighbours import NearestNormalised, distribution_normalised
from .query_bank import DualDynamic, DualInverted, DynamicSoftmax, QueryBank
from .softmax import InvertedSoftmax

Arrays = Mapping[str, np.ndarray]
Case = Callable[[Arrays, Arrays], dict[str, np.ndarray]]
"""The inputs and the parameters of a case to its outputs by name."""

NOT_COPIED = ("db_norm_as_published_ignoring_similarity",)
"""Outputs that are accidents of the published code: it re-ranks the gallery bank instead of the scores."""


def outputs(file: Arrays, case: str) -> Iterator[tuple[str, str, str, np.ndarray | None]]:
    """`(re-ranking, case, output, our array)` for every output of a case that the published code means to have.

    The array is None for an output that we do not compute, and there is nothing for a case that is no re-ranking.
    Raises KeyError where the file lacks an input or a parameter.
    """
    found = _method(case)
    if found is None:
        return
    name, compute = found
    computed = compute(part(file, case, "input"), part(file, case, "param"))
    for output in part(file, case, "output"):
        if output not in NOT_COPIED:
            yield name, case, output, computed.get(output)


def part(file: Arrays, case: str, kind: str) -> dict[str, np.ndarray]:
    """The arrays `<case>/<kind>/<name>` of a file, by name."""
    start = f"{case}/{kind}/"
    return {key[len(start) :]: file[key] for key in file if key.startswith(start)}


def _method(case: str) -> tuple[str, Case] | None:
    """The re-ranking of a case, by the longest name that its own begins with."""
    families = [family for family in CASES if case == family or case.startswith(f"{family}_")]
    return CASES[max(families, key=len)] if families else None


def _ranked(scores: np.ndarray) -> dict[str, np.ndarray]:
    """The items of each query, best first, and their scores."""
    order = np.argsort(-scores, axis=1, kind="stable")
    return {"ranking": order, "ranked_scores": np.take_along_axis(scores, order, axis=1)}


def _banked(reranker: Reranker, given: Arrays, name: str = "bank_similarity") -> np.ndarray:
    """`similarity` re-ranked by a bank."""
    reranker.fit_banks(given[name])
    return reranker.apply(given["similarity"])


def _nnn(given: Arrays, param: Arrays) -> dict[str, np.ndarray]:
    if "similarity" in given:
        scores, bank = given["similarity"], given["bank_similarity"]
    else:
        scores, bank = (given[f"{name}_embeddings"] @ given["gallery_embeddings"].T for name in ("query", "bank"))
    reranker = NearestNormalised(float(param["alpha"]), int(param["k"]))
    similarity = _banked(reranker, {"similarity": scores, "bank_similarity": bank})
    bias = reranker.best.mean.numpy()[:, None]
    return {"bias_per_gallery_item": bias, "similarity": similarity, **_ranked(similarity)}


def _centred(given: Arrays, param: Arrays) -> dict[str, np.ndarray]:
    """Queries, and a bank of them, less their own sample's mean; the gallery less its own."""
    samples = {"query": "query", "bank": "query", "gallery": "gallery"}
    return {
        f"{name}_embeddings": distribution_normalised(
            given[f"{name}_embeddings"], given[f"{sample}_dev_embeddings"], float(param["dn_lambda"])
        )
        for name, sample in samples.items()
        if f"{name}_embeddings" in given
    }


def _dn(given: Arrays, param: Arrays) -> dict[str, np.ndarray]:
    centred = _centred(given, param)
    similarity = centred["query_embeddings"] @ centred["gallery_embeddings"].T
    return {"similarity": similarity, **_ranked(similarity)}


def _dn_nnn(given: Arrays, param: Arrays) -> dict[str, np.ndarray]:
    return _nnn(_centred(given, param), param)


def _query_bank(given: Arrays, param: Arrays) -> dict[str, np.ndarray]:
    bank = QueryBank(float(param["beta"]), int(param["k"]), int(param.get("theta", 1)))
    changed = _banked(bank, given)
    rows = bank.changes(torch.from_numpy(given["similarity"])).numpy()
    return {
        "similarity": np.where(rows, np.exp(changed), changed),
        "activated_gallery_item": bank.is_hub.numpy(),
        "normalised_row": rows[:, 0],
    }


def _inverted_softmax(given: Arrays, param: Arrays) -> dict[str, np.ndarray]:
    return {"similarity": np.exp(_banked(InvertedSoftmax(float(param["beta"])), given))}


def _two_banks(given: Arrays, reranker: DualInverted | DualDynamic) -> dict[str, np.ndarray]:
    reranker.fit_banks(given["query_bank_similarity"], given["gallery_bank_similarity"])
    scores, factors = torch.from_numpy(given["similarity"]), []
    for one in (reranker.by_queries, reranker.by_gallery):
        rows = one.changes(scores) if isinstance(one, DynamicSoftmax) else torch.ones(len(scores), 1, dtype=torch.bool)
        changed = one.change(scores, ALL)
        factors.append(torch.where(rows, changed.exp(), changed).numpy())
    return {
        "query_bank_factor": factors[0],
        "gallery_bank_factor": factors[1],
        "similarity_product_of_factors": factors[0] * factors[1],
    }


def _dualis(given: Arrays, param: Arrays) -> dict[str, np.ndarray]:
    return _two_banks(given, DualInverted(float(param["beta1"]), float(param["beta2"])))


def _dualdis(given: Arrays, param: Arrays) -> dict[str, np.ndarray]:
    return _two_banks(given, DualDynamic(float(param["beta1"]), float(param["beta2"]), int(param["k"])))


def _bank_sinkhorn(given: Arrays, param: Arrays) -> dict[str, np.ndarray]:
    """Each level by itself, then their mean; from video to text a bank of videos balances the texts."""
    levels, iterations = given["logits_per_level"], int(param["iterations"])
    texts = [_balanced(bank, iterations) for bank in given["bank_text_by_test_video_logits_per_level"]]
    videos = [_balanced(bank.T, iterations) for bank in given["test_text_by_bank_video_logits_per_level"]]
    pairs = list(zip(levels, texts, strict=True)), list(zip(levels, videos, strict=True))
    return {
        "bank_text_bias_per_level": np.stack([one.bank_bias.numpy() for one in texts]),
        "video_bias_per_level": np.stack([one.bias.numpy() for one in texts]),
        "text_bias_per_level": np.stack([one.bias.numpy() for one in videos]),
        "text_to_video_logits": np.mean([one.apply(level) for level, one in pairs[0]], axis=0),
        "video_to_text_logits": np.mean([one.apply(level.T).T for level, one in pairs[1]], axis=0),
    }


def _balanced(bank: np.ndarray, iterations: int) -> BankSinkhorn:
    reranker = BankSinkhorn(1.0, iterations)
    fit([reranker], bank=held(bank))
    return reranker


CASES: dict[str, tuple[str, Case]] = {
    "nnn": ("nnn", _nnn),
    "dn": ("dn", _dn),
    "dn_nnn": ("nnn", _dn_nnn),
    "qbnorm": ("querybank", _query_bank),
    "inverted_softmax": ("inverted-softmax", _inverted_softmax),
    "dualis": ("dualis", _dualis),
    "dualdis": ("dualdis", _dualdis),
    "ucofia_sinkhorn": ("bank-sinkhorn", _bank_sinkhorn),
}
"""Families of cases, by the name that theirs begins with: the re-ranking, and what computes its outputs."""
