"""Sequences as trees: sentences that begin alike ("a man is …") share the nodes of what they have in common."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from .tokens import TokenSequence


@dataclass
class PrefixTree:
    """Some sequences as the nodes of their beginnings.

    `tokens` and `positions` describe the nodes; `paths` gives the nodes of each sequence, first to last, and `home`
    a place (sequence, depth) at which each node occurs.
    """

    tokens: list[int] = field(default_factory=list)
    positions: list[int] = field(default_factory=list)
    paths: list[list[int]] = field(default_factory=list)
    home: list[tuple[int, int]] = field(default_factory=list)
    members: list[int] = field(default_factory=list)
    """Which of the given sequences these are."""

    def shared(self, sequence: TokenSequence, last: TokenSequence | None) -> int:
        """How many nodes `sequence` has in common with the one added last."""
        if last is None or not self.paths:
            return 0
        pairs = zip(sequence.tokens, sequence.positions, last.tokens, last.positions, strict=False)
        for depth, (token, position, old_token, old_position) in enumerate(pairs):
            if token != old_token or position != old_position:
                return depth
        return min(len(sequence.tokens), len(last.tokens))

    def add(self, member: int, sequence: TokenSequence, shared: int) -> None:
        """Add one sequence whose first `shared` nodes are those of the one before."""
        path = self.paths[-1][:shared] if shared else []
        for depth in range(shared, len(sequence.tokens)):
            path.append(len(self.tokens))
            self.home.append((len(self.paths), depth))
            self.tokens.append(sequence.tokens[depth])
            self.positions.append(sequence.positions[depth])
        self.paths.append(path)
        self.members.append(member)


def prefix_trees(sequences: Sequence[TokenSequence], max_nodes: int) -> Iterator[PrefixTree]:
    """Trees of at most `max_nodes` nodes that together hold all sequences, similar ones side by side."""
    order = sorted(range(len(sequences)), key=lambda member: _sort_key(sequences[member]))
    tree, last = PrefixTree(), None
    for member in order:
        sequence = sequences[member]
        shared = tree.shared(sequence, last)
        if tree.paths and len(tree.tokens) + len(sequence.tokens) - shared > max_nodes:
            yield tree
            tree, shared = PrefixTree(), 0
        tree.add(member, sequence, shared)
        last = sequence
    if tree.paths:
        yield tree


def _sort_key(sequence: TokenSequence) -> list[tuple[int, int]]:
    return list(zip(sequence.tokens, sequence.positions, strict=True))
