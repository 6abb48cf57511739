"""How unevenly a gallery's items are found: the k-occurrence and its skewness."""

from __future__ import annotations

import torch

from .errors import ArrayError


class KOccurrence:
    """How often each of `gallery` items is among a query's `k` best, queries seen a block at a time.

    Items tied at the k-th place share what is left of it; a k above the gallery's size counts as its size.
    """

    def __init__(self, gallery: int, k: int = 10, device: torch.device | None = None) -> None:
        if k < 1:
            raise ArrayError(f"k of the k-occurrence is {k}; choose a whole number from 1")
        self.k = min(k, gallery)
        self.occurrence = torch.zeros(gallery, dtype=torch.float64, device=device)

    def see(self, scores: torch.Tensor) -> None:
        """Some queries' scores of the whole gallery, (b, gallery)."""
        if self.k == len(self.occurrence):
            self.occurrence += len(scores)
            return
        best = scores.topk(self.k + 1, dim=1)
        ties = best.values[:, self.k - 1] == best.values[:, self.k]
        clear = best.indices[~ties, : self.k].flatten()
        self.occurrence += clear.bincount(minlength=len(self.occurrence))
        if ties.any():
            self._share(scores[ties], best.values[ties, self.k - 1, None])

    def _share(self, scores: torch.Tensor, kth_best: torch.Tensor) -> None:
        above, tied = scores > kth_best, scores == kth_best
        share = (self.k - above.sum(1)).double() / tied.sum(1).double()
        self.occurrence += above.sum(0).double() + (tied.double() * share[:, None]).sum(0)

    @property
    def skewness(self) -> float:
        """Third standardised moment (Radovanović et al., 2010, JMLR 11): 0 is even, above about 1 means hubs."""
        deviation = self.occurrence - self.occurrence.mean()
        spread = float(deviation.square().mean().sqrt())
        return 0.0 if spread < 1e-9 * float(self.occurrence.mean()) else float(deviation.pow(3).mean()) / spread**3
