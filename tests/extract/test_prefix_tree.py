from camoe.extract.prefix_tree import prefix_trees
from camoe.extract.tokens import TokenSequence
from hypothesis import given
from hypothesis import strategies as st


def sequence(*tokens: int) -> TokenSequence:
    return TokenSequence(tokens, tuple(range(len(tokens))))


def test_beginnings_are_shared() -> None:
    (tree,) = prefix_trees([sequence(1, 5, 9), sequence(1, 4, 9), sequence(1, 5, 6, 9)], 100)
    assert tree.members == [1, 2, 0]
    assert tree.tokens == [1, 4, 9, 5, 6, 9, 9]
    assert tree.paths == [[0, 1, 2], [0, 3, 4, 5], [0, 3, 6]]


def test_the_same_word_elsewhere_is_another_beginning() -> None:
    moved = TokenSequence((1, 5, 9), (0, 2, 3))
    (tree,) = prefix_trees([sequence(1, 5, 9), moved], 100)
    assert len(tree.tokens) == 5


def test_a_sequence_larger_than_the_bound_stands_alone() -> None:
    trees = list(prefix_trees([sequence(1, 2, 3, 4), sequence(1, 9)], 3))
    assert [tree.members for tree in trees] == [[0], [1]]


@given(st.lists(st.lists(st.integers(0, 3), min_size=2, max_size=6), max_size=30), st.integers(6, 20))
def test_trees_hold_every_sequence_once(tokens: list[list[int]], max_nodes: int) -> None:
    sequences = [sequence(*row) for row in tokens]
    trees = list(prefix_trees(sequences, max_nodes))
    assert sorted(member for tree in trees for member in tree.members) == list(range(len(sequences)))
    for tree in trees:
        assert len(tree.tokens) <= max_nodes
        assert len(tree.tokens) == len(
            {tuple(sequences[m].tokens[: d + 1]) for m in tree.members for d in range(len(sequences[m].tokens))}
        )
        for member, path in zip(tree.members, tree.paths, strict=True):
            assert tuple(tree.tokens[node] for node in path) == sequences[member].tokens
            assert tuple(tree.positions[node] for node in path) == sequences[member].positions
        for node, (row, depth) in enumerate(tree.home):
            assert tree.paths[row][depth] == node
