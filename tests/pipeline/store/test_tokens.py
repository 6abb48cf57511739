"""Word tokens: what is written is what is read, however the store is cut, grown and copied."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

import h5py
import numpy as np
import pyarrow.parquet
import pytest
from camoe.pipeline.errors import CamoeError
from camoe.pipeline.store import Captions, FeatureStore, Shard, StoreError, StoreSettings, TokenTable, write_shard
from camoe.pipeline.store.cli import main as camoe_store
from camoe.pipeline.store.imports import import_export
from camoe.pipeline.store.merge import merge_stores
from camoe.pipeline.store.schema import WORD_TOKENS, Removed
from camoe.pipeline.store.single_file import write_single_file
from camoe.pipeline.store.verify import verify_store
from click.testing import CliRunner
from hypothesis import given, settings
from hypothesis import strategies as st

ShardMaker = Callable[..., Shard]
Words = dict[tuple[str, str], bytes]
names = st.text(min_size=1, max_size=6).filter(lambda text: not text.endswith("\0"))
KEYS = [("a", "0", "a man"), ("a", "1", "a dog runs"), ("b", "0", "a man"), ("c", "0", "two dogs")]


def by_caption(store: FeatureStore) -> Words:
    """Every caption's tokens, by video and id."""
    tokens = store.word_tokens
    values = tokens.values()
    keys = zip(store.caption_video_ids, store.caption_ids, strict=True)
    return {
        key: values[tokens.offsets[u] : tokens.offsets[u + 1]].tobytes()
        for key, u in zip(keys, tokens.row.tolist(), strict=True)
    }


def written(*shards: Shard) -> Words:
    """The same of what was written."""
    found: Words = {}
    for shard in shards:
        captions, tokens = shard.captions, shard.tokens
        assert captions is not None
        assert tokens is not None
        for key, u in zip(zip(captions.video_id, captions.id, strict=True), tokens.row, strict=True):
            found[key] = tokens.values[tokens.offsets[u] : tokens.offsets[u + 1]].tobytes()
    return found


@st.composite
def cut_captions(draw: st.DrawFn) -> list[list[tuple[str, str, str]]]:
    keys = draw(
        st.lists(st.tuples(names, names, names), min_size=1, max_size=12, unique_by=lambda key: (key[0], key[1]))
    )
    places = sorted(draw(st.lists(st.integers(0, len(keys)), max_size=3)))
    return [keys[a:b] for a, b in zip([0, *places], [*places, len(keys)], strict=True)]


@given(cut_captions())
@settings(deadline=None, max_examples=40)
def test_round_trip(make_shard: ShardMaker, parts: list[list[tuple[str, str, str]]]) -> None:
    shards = [make_shard(None, keys, has_tokens=True) for keys in parts]
    whole = make_shard(None, [key for part in parts for key in part], has_tokens=True)
    with TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "cut").mkdir()
        for number, shard in enumerate(shards):
            write_shard(folder / "cut" / f"{number}.h5", shard)
        write_shard(folder / "whole.h5", whole)
        write_single_file(sorted((folder / "cut").iterdir()), folder / "merged.h5")
        stores = [FeatureStore.open(folder / name) for name in ("cut", "whole.h5", "merged.h5")]
        for store in stores:
            assert by_caption(store) == written(*shards)
            assert len(set(store.word_tokens.sentence)) == len(store.word_tokens.sentence)
            assert store.content_hash == stores[0].content_hash


def test_tokens_are_read_in_any_order_and_in_pieces(
    make_shard: ShardMaker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("camoe.pipeline.store.writer._CHUNK_BYTES", 64)
    monkeypatch.setattr("camoe.pipeline.store.tokens._BLOCK_BYTES", 1)
    keys = [("v", f"{n:02d}", f"sentence {n % 17} {'x' * (n % 5)}") for n in range(40)]
    write_shard(tmp_path / "a.h5", make_shard(None, keys[:20], has_tokens=True))
    write_shard(tmp_path / "b.h5", make_shard(None, keys[20:], has_tokens=True))
    assert verify_store([tmp_path]) == []
    tokens = FeatureStore.open(tmp_path).word_tokens
    values = tokens.values()
    np.testing.assert_array_equal(np.concatenate(list(tokens.blocks())), values)
    rows = np.random.default_rng(0).permutation(len(tokens.sentence))
    expected = np.concatenate([values[tokens.offsets[row] : tokens.offsets[row + 1]] for row in rows])
    np.testing.assert_array_equal(tokens.read(rows), expected)
    assert tokens.read(rows[:0]).shape == (0, 8)
    assert tokens.longest == np.diff(tokens.offsets).max()


def test_the_content_hash_counts_tokens(make_shard: ShardMaker, tmp_path: Path) -> None:
    """That stores without them keep their hash is for `test_formats.py` to tell."""
    bare, with_tokens = make_shard(), make_shard(has_tokens=True)
    changed = make_shard(has_tokens=True)
    assert changed.tokens is not None
    changed.tokens.values[3, 0] += 1
    hashes = []
    for number, shard in enumerate((bare, with_tokens, changed)):
        write_shard(tmp_path / f"{number}.h5", shard)
        hashes.append(FeatureStore.open(tmp_path / f"{number}.h5").content_hash)
    assert len(set(hashes)) == 3


def test_a_shard_with_tokens_says_so_to_versions_that_would_pass_over_them(
    make_shard: ShardMaker, tmp_path: Path
) -> None:
    for name, has_tokens, schema in (("bare.h5", False, b"camoe-store-2"), ("words.h5", True, b"camoe-store-2.1")):
        write_shard(tmp_path / name, make_shard(has_tokens=has_tokens))
        write_single_file([tmp_path / name], tmp_path / f"merged-{name}")
        for path in (tmp_path / name, tmp_path / f"merged-{name}"):
            with h5py.File(path) as file:
                assert file.attrs["schema"] == schema


# -- growing


def test_tokens_come_later_and_are_replaced_with_their_captions(make_shard: ShardMaker, tmp_path: Path) -> None:
    """As `--into` writes it: a shard of tokens alone, then one that takes captions back."""
    write_shard(tmp_path / "0.h5", make_shard(["a"], KEYS))
    bare = FeatureStore.open(tmp_path)
    with pytest.raises(StoreError, match=r"has no word tokens; add them with: camoe-extract --into \S+0.h5 --tokens$"):
        _ = bare.word_tokens
    added = replace(make_shard(None, KEYS, strategies=(), has_tokens=True), order=1)
    write_shard(tmp_path / "1.h5", added)
    store = FeatureStore.open(tmp_path)
    assert by_caption(store) == written(added)
    assert store.content_hash != bare.content_hash
    assert store.captions_with_texts()[WORD_TOKENS].all()
    assert len(store.caption_ids) == len(KEYS)

    mended = [("a", "1", "a cat runs")]
    replacing = replace(
        make_shard(None, mended, has_tokens=True), order=2, removed=Removed(captions=(("a", "1"), ("c", "0")))
    )
    write_shard(tmp_path / "2.h5", replacing)
    store = FeatureStore.open(tmp_path)
    expected = {key: value for key, value in written(added).items() if key != ("c", "0")} | written(replacing)
    assert by_caption(store) == expected
    assert sorted(store.word_tokens.sentence) == ["a cat runs", "a man"]
    (tmp_path / "merged").mkdir()
    write_single_file(sorted(tmp_path.glob("?.h5")), tmp_path / "merged" / "m.h5")
    merged = FeatureStore.open(tmp_path / "merged")
    assert by_caption(merged) == expected
    fresh = make_shard(["a"], [KEYS[0], mended[0], KEYS[2]], has_tokens=True)
    write_shard(tmp_path / "merged" / "fresh.h5", fresh)
    assert merged.content_hash == store.content_hash == FeatureStore.open(tmp_path / "merged" / "fresh.h5").content_hash


def test_captions_without_tokens_and_with_two(make_shard: ShardMaker, tmp_path: Path) -> None:
    write_shard(tmp_path / "a.h5", make_shard(None, KEYS, has_tokens=True))
    write_shard(tmp_path / "b.h5", make_shard(None, [("d", "7", "a bird")]))
    store = FeatureStore.open(tmp_path)
    message = r"1 of 5 captions have no word tokens \(first: '7' of video 'd'\); add them with: .*b\.h5 --tokens"
    with pytest.raises(StoreError, match=message):
        _ = store.word_tokens
    assert any("have no word tokens" in problem for problem in verify_store([tmp_path]))
    write_shard(tmp_path / "b.h5", make_shard(None, KEYS[:1], strategies=(), has_tokens=True))
    with pytest.raises(StoreError, match=r"word tokens of a caption lie in .*b\.h5 and in another shard; give one"):
        _ = FeatureStore.open(tmp_path).word_tokens


def test_a_table_that_repeats_a_sentence(make_shard: ShardMaker, tmp_path: Path) -> None:
    """Nothing that this code writes, but nothing that it may trip over."""
    values = np.arange(5 * 8, dtype=np.float16).reshape(5, 8)
    twice = TokenTable(["x", "x"], np.array([0, 2, 5]), values, np.array([1, 0, 1, 1]))
    write_shard(tmp_path / "s.h5", replace(make_shard(None, KEYS), tokens=twice))
    tokens = FeatureStore.open(tmp_path).word_tokens
    assert (tokens.sentence, tokens.offsets.tolist(), tokens.row.tolist()) == (["x"], [0, 2], [0] * 4)
    np.testing.assert_array_equal(tokens.values(), values[:2])


def test_the_command_names_the_weights_file_that_the_store_was_made_with(
    make_shard: ShardMaker, tmp_path: Path
) -> None:
    write_shard(tmp_path / "s.h5", make_shard(clip_model="my clip.pt"))
    with pytest.raises(StoreError, match=r"--tokens --clip 'my clip.pt'$"):
        _ = FeatureStore.open(tmp_path).word_tokens


def test_records_check_themselves(make_shard: ShardMaker) -> None:
    values, row = np.zeros((4, 8), np.float16), np.array([0, 1])
    for offsets in ([0, 2], [0, 2, 3], [1, 2, 4], [0, 4, 4], [0, 5, 4]):
        with pytest.raises(ValueError, match="offsets of word tokens do not cut 4 tokens into 2 sentences"):
            TokenTable(["a", "b"], np.array(offsets), values, row)
    with pytest.raises(ValueError, match="points outside the 2 sentences"):
        TokenTable(["a", "b"], np.array([0, 2, 4]), values, np.array([2]))
    broken = values.copy()
    broken[2, 1] = np.nan
    with pytest.raises(CamoeError, match="the word tokens of 'b' are not finite"):
        TokenTable(["a", "b"], np.array([0, 2, 4]), broken, row)
    with pytest.raises(ValueError, match="word tokens do not match the captions"):
        replace(make_shard(), tokens=TokenTable(["a", "b"], np.array([0, 2, 4]), values, row))


# -- commands


@pytest.mark.parametrize("out", ["merged.h5", "merged"])
def test_merge(make_shard: ShardMaker, tmp_path: Path, out: str) -> None:
    (tmp_path / "s").mkdir()
    write_shard(tmp_path / "s" / "0.h5", make_shard(has_tokens=True))
    before = FeatureStore.open(tmp_path / "s")
    merged = merge_stores([tmp_path / "s"], tmp_path / out)
    assert merged.content_hash == before.content_hash
    assert by_caption(merged) == by_caption(before)


def test_merging_with_captions_that_have_no_tokens_is_refused(make_shard: ShardMaker, tmp_path: Path) -> None:
    write_shard(tmp_path / "a.h5", make_shard(None, KEYS, has_tokens=True))
    write_shard(tmp_path / "b.h5", make_shard(None, [("d", "7", "a bird")]))
    with pytest.raises(CamoeError, match="1 of 5 captions have no word tokens"):
        merge_stores([tmp_path / "a.h5", tmp_path / "b.h5"], tmp_path / "merged.h5")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.h5", "b.h5"]


def test_npz_and_back(make_shard: ShardMaker, tmp_path: Path) -> None:
    write_shard(tmp_path / "s.h5", make_shard(has_tokens=True))
    done = CliRunner().invoke(camoe_store, ["export", str(tmp_path / "s.h5"), "--out", str(tmp_path / "s.npz")])
    assert done.exit_code == 0, done.output
    with np.load(tmp_path / "s.npz", allow_pickle=False) as arrays:
        assert {"tokens/sentence", "tokens/offsets", "tokens/row", "tokens/values"} < set(arrays)
    import_export(tmp_path / "s.npz", tmp_path / "back.h5")
    ours, theirs = FeatureStore.open(tmp_path / "back.h5"), FeatureStore.open(tmp_path / "s.h5")
    assert ours.content_hash == theirs.content_hash
    assert by_caption(ours) == by_caption(theirs)


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("offsets", np.array([0, 1]), "do not cut"),
        ("row", np.array([9] * 5), "points outside"),
        ("values", np.zeros((16, 4), np.float16), "are 4 wide"),
        ("values", np.zeros(16, np.float16), "should hold floats in 2 axes"),
        ("values", np.full((16, 8), np.inf), "not finite"),
        ("sentence", np.arange(4), "should hold texts"),
    ],
)
def test_a_strange_npz(make_shard: ShardMaker, tmp_path: Path, name: str, value: np.ndarray, message: str) -> None:
    write_shard(tmp_path / "s.h5", make_shard(has_tokens=True))
    CliRunner().invoke(camoe_store, ["export", str(tmp_path / "s.h5"), "--out", str(tmp_path / "s.npz")])
    with np.load(tmp_path / "s.npz", allow_pickle=False) as arrays:
        changed = dict(arrays) | {f"tokens/{name}": value}
    np.savez(tmp_path / "bad.npz", allow_pickle=False, **changed)
    with pytest.raises(CamoeError, match=message):
        import_export(tmp_path / "bad.npz", tmp_path / "back.h5")
    assert not (tmp_path / "back.h5").exists()


def test_parquet(make_shard: ShardMaker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("camoe.pipeline.store.export._BLOCK_ROWS", 2)
    write_shard(tmp_path / "s.h5", make_shard(has_tokens=True))
    CliRunner().invoke(camoe_store, ["export", str(tmp_path / "s.h5"), "--out", str(tmp_path / "s.parquet")])
    rows = pyarrow.parquet.read_table(tmp_path / "s.tokens.parquet").to_pylist()
    place = pyarrow.parquet.read_table(tmp_path / "s.captions.parquet")["tokens_row"].to_pylist()
    store = FeatureStore.open(tmp_path / "s.h5")
    assert [row["sentence"] for row in rows] == store.word_tokens.sentence
    found = [np.array(rows[row]["tokens"], np.float16).tobytes() for row in place]
    assert found == list(by_caption(store).values())


def test_info_counts_them(make_shard: ShardMaker, tmp_path: Path) -> None:
    write_shard(tmp_path / "s.h5", make_shard(has_tokens=True))
    done = CliRunner().invoke(camoe_store, ["info", str(tmp_path / "s.h5")])
    assert "words     16 tokens of 4 distinct captions, at most 6 each, 0.3 kB" in done.output.splitlines()


def test_verify_compares_their_content_sum(make_shard: ShardMaker, tmp_path: Path) -> None:
    path = tmp_path / "s.h5"
    write_shard(path, make_shard(has_tokens=True))
    with h5py.File(path, "r+") as file:
        file["tokens/values"][0, 0] = 7
    assert verify_store([path]) == [f"{path}: tokens are not what was written (their content sum differs)"]


# -- memory

MERGE = """
import resource, sys
from pathlib import Path
from camoe.pipeline.store import FeatureStore
from camoe.pipeline.store.single_file import write_single_file
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
write_single_file([Path(sys.argv[1])], Path(sys.argv[2]))
assert FeatureStore.open(sys.argv[2]).word_tokens.longest == 16
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""


def test_merging_holds_a_block_of_them(tmp_path: Path) -> None:
    """134 MB of tokens go through a process that grows by less."""
    count, length, width = 8192, 16, 512
    sentences = [f"sentence {row}" for row in range(count)]
    values = np.random.default_rng(0).integers(0, 1 << 14, (count * length, width), np.uint16).view(np.float16)
    shard = Shard(
        StoreSettings("made-up", "ab" * 32, 100.0, width, "fp32"),
        captions=Captions([str(row) for row in range(count)], ["v"] * count, sentences, {}),
        tokens=TokenTable(sentences, np.arange(count + 1) * length, values, np.arange(count)),
    )
    write_shard(tmp_path / "s.h5", shard)
    command = [sys.executable, "-c", MERGE, str(tmp_path / "s.h5"), str(tmp_path / "m.h5")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=True)
    assert int(done.stdout) < 80_000, "kilobytes"
