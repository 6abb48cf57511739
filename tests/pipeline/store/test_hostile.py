"""Files from elsewhere: refused by one sentence that names them, without reading anything else, hanging or bloating."""

from __future__ import annotations

import multiprocessing
import os
import random
import resource
import struct
import zlib
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import h5py
import numpy as np
import pytest
from camoe.pipeline.store import FeatureStore, Shard, StoreError, shard_bytes, write_shard
from camoe.pipeline.store.schema import FAILED, PARTIAL, Failure, Removed
from camoe.pipeline.store.single_file import write_single_file

ShardMaker = Callable[..., Shard]
FORK = multiprocessing.get_context("fork")


def read_all(path: Path) -> tuple:
    """Everything of a store, as plain values that can be compared."""
    store = FeatureStore.open(path)
    columns = [store.video_column(name).tobytes() for name in ("source", "source_size", "source_mtime", "duration_s")]
    tables = [(name, store.text_table(*name)) for name in store.text_names]
    return (
        store.settings,
        dict(store.settings.versions),
        store.video_ids,
        store.video_status,
        store.frame_count.tobytes(),
        store.frames().tobytes(),
        store.frame_times().tobytes(),
        columns,
        store.caption_ids,
        store.caption_video_ids,
        store.caption_texts,
        {name: codes.tobytes() for name, codes in store.protocols.items()},
        store.shortfall,
        store.text_notes,
        [(name, table.sentence, table.embedding.tobytes(), table.row.tobytes()) for name, table in tables],
        store.content_hash,
        store.failures,
        [(shard.order, shard.removed) for shard in store.shards],
        _tokens(store),
    )


def _tokens(store: FeatureStore) -> tuple:
    if not store.has_word_tokens:
        return ()
    tokens = store.word_tokens
    return tokens.sentence, tokens.offsets.tobytes(), tokens.row.tobytes(), tokens.values().tobytes()


def whole_shard(make_shard: Callable[..., Shard]) -> bytes:
    """A shard with everything that a shard can hold."""
    failures = (Failure("lost", "lost.mp4", FAILED, "empty"), Failure("dx", "dx.mp4", PARTIAL, "cut"))
    removed = Removed(videos=("a", "old"), captions=(("a", "0"),))
    return shard_bytes(replace(make_shard(has_tokens=True), failures=failures, removed=removed, order=3))


@pytest.fixture
def sound(make_shard: ShardMaker, tmp_path: Path) -> Path:
    write_shard(tmp_path / "bad.h5", make_shard(has_tokens=True))
    write_shard(tmp_path / "canary.h5", make_shard(["canary"], [("canary", "0", "canary")], has_tokens=True))
    return tmp_path / "bad.h5"


def replace_dataset(file: h5py.File, name: str, **options: object) -> h5py.Dataset:
    del file[name]
    return file.create_dataset(name, **options)


def external_link(file: h5py.File, name: str) -> None:
    del file[name]
    file[name] = h5py.ExternalLink("canary.h5", f"/{name}")


def soft_link(file: h5py.File, name: str) -> None:
    file.move(name, "elsewhere")
    file[name] = h5py.SoftLink("/elsewhere")


def external_storage(file: h5py.File, name: str) -> None:
    old = file[name]
    shape, dtype = old.shape, old.dtype
    replace_dataset(file, name, shape=shape, dtype=dtype, external=[("canary.h5", 0, h5py.h5f.UNLIMITED)])


def virtual(file: h5py.File, name: str) -> None:
    old = file[name]
    layout = h5py.VirtualLayout(shape=old.shape, dtype=old.dtype)
    layout[...] = h5py.VirtualSource("canary.h5", name, shape=old.shape)
    del file[name]
    file.create_virtual_dataset(name, layout)


DATASETS = ["videos/id", "videos/frames", "videos/frame_count", "captions/text", "protocols/own", "captions/muw/entity"]
DATASETS += ["texts/muw/entity/embedding", "texts/full/fusion/sentence"]
DATASETS += [f"tokens/{column}" for column in ("sentence", "offsets", "values", "row")]


@pytest.mark.parametrize("name", DATASETS)
@pytest.mark.parametrize("change", [external_link, soft_link, external_storage, virtual])
def test_data_from_elsewhere(sound: Path, name: str, change: Callable, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(sound.parent)
    with h5py.File(sound, "r+") as file:
        if change is virtual and file[name].dtype.kind == "S":
            pytest.skip("HDF5 maps only numbers here")
        change(file, name)
    with pytest.raises(StoreError, match=r"bad\.h5: /.* (is a link to elsewhere|takes its data from other files)"):
        read_all(sound)


@pytest.mark.parametrize(
    "name", ["videos", "captions", "protocols", "texts", "texts/muw", "texts/muw/entity", "tokens"]
)
@pytest.mark.parametrize("change", [external_link, soft_link])
def test_groups_from_elsewhere(sound: Path, name: str, change: Callable, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(sound.parent)
    with h5py.File(sound, "r+") as file:
        change(file, name)
    with pytest.raises(StoreError, match=r"bad\.h5: /.* is a link to elsewhere"):
        read_all(sound)


def declared_8_tib(file: h5py.File) -> None:
    replace_dataset(file, "videos/frames", shape=(1 << 28, 4, 4096), dtype="f2", chunks=(1024, 4, 4096))


def declared_without_chunks(file: h5py.File) -> None:
    space = h5py.h5s.create_simple((1 << 28, 4, 4096))
    del file["videos/frames"]
    h5py.h5d.create(file["videos"].id, b"frames", h5py.h5t.IEEE_F16LE, space)


def absent_chunks(file: h5py.File) -> None:
    frames = file["videos/frames"][()]
    target = replace_dataset(file, "videos/frames", shape=frames.shape, dtype="f2", chunks=(1, 4, 8))
    target[:2] = frames[:2]


def gzip_bomb(file: h5py.File) -> None:
    target = replace_dataset(
        file, "captions/text", shape=(1 << 10,), dtype="S1048576", chunks=(16,), compression="gzip", compression_opts=9
    )
    for start in range(0, 128, 16):
        target[start : start + 16] = np.zeros(16, "S1048576")


def huge_chunks(file: h5py.File) -> None:
    replace_dataset(
        file, "captions/text", shape=(5,), dtype="S16777216", chunks=(5,), compression="gzip", data=[b"x"] * 5
    )


def references(file: h5py.File) -> None:
    replace_dataset(file, "videos/id", data=[file.ref] * 5, dtype=h5py.ref_dtype)


def variable_length(file: h5py.File) -> None:
    replace_dataset(file, "videos/id", data=["a"] * 5, dtype=h5py.string_dtype())


def unknown_filter(file: h5py.File) -> None:
    frames = file["videos/frames"][()]
    replace_dataset(file, "videos/frames", data=frames, compression="lzf")


def change_column(name: str, value: object) -> Callable[[h5py.File], None]:
    def change(file: h5py.File) -> None:
        replace_dataset(file, name, data=value)

    change.__name__ = f"{name}={np.asarray(value).dtype!s}{np.asarray(value).shape}"
    return change


def patch(name: str, index: object, value: object) -> Callable[[h5py.File], None]:
    def change(file: h5py.File) -> None:
        file[name][index] = value

    change.__name__ = f"{name}[{index}]={value}"
    return change


def attribute(name: str, value: object) -> Callable[[h5py.File], None]:
    def change(file: h5py.File) -> None:
        place, _, key = name.rpartition("/")
        if value is None:
            del file[place or "/"].attrs[key]
        else:
            file[place or "/"].attrs[key] = value

    change.__name__ = f"{name}={str(value)[:30]}"
    return change


def removed(name: str) -> Callable[[h5py.File], None]:
    def change(file: h5py.File) -> None:
        del file[name]

    change.__name__ = f"without {name}"
    return change


WRONG: list[tuple[Callable[[h5py.File], None], str]] = [
    (declared_8_tib, r"declares 8,796,093,022,208 bytes that the file does not hold"),
    (declared_without_chunks, r"declares 8,796,093,022,208 bytes that the file does not hold"),
    (absent_chunks, "/videos/frames declares .* bytes that the file does not hold"),
    (gzip_bomb, "declares 1,073,741,824 bytes that the file does not hold"),
    (huge_chunks, "declares .* bytes that the file does not hold"),
    (references, "/videos/id should hold strings of rank 1, not object"),
    (variable_length, "/videos/id should hold strings of rank 1, not object"),
    (unknown_filter, "/videos/frames is packed by an unknown filter"),
    (change_column("videos/frames", np.zeros((5, 4, 8), np.int32)), "should hold floating-point numbers of rank 3"),
    (change_column("videos/frames", np.zeros((5, 32), np.float16)), "should hold floating-point numbers of rank 3"),
    (change_column("videos/frames", np.zeros((6, 4, 8), np.float16)), "do not fit each other"),
    (change_column("videos/frames", np.zeros((5, 4, 16), np.float16)), "do not fit each other .*embed_dim 8"),
    (change_column("videos/frames", np.zeros((5, 9, 8), np.float16)), "do not fit each other"),
    (change_column("videos/frame_count", np.ones((5, 1), np.int64)), "should hold integers of rank 1"),
    (change_column("videos/frame_count", np.float64(3)), "should hold integers of rank 1"),
    (change_column("videos/status", np.array([b"fine"] * 5)), "there is no status 'fine' of a video"),
    (change_column("captions/text", np.array([b"a"] * 4)), "captions: columns differ in length"),
    (change_column("captions/muw/entity", np.zeros(4, np.int64)), "texts muw/entity are not of all its captions"),
    (change_column("texts/muw/entity/embedding", np.zeros((5, 16), np.float16)), "are 16 wide and embed_dim is 8"),
    (change_column("texts/muw/entity/sentence", np.array([b"a"] * 9)), "texts: columns differ in length"),
    (change_column("videos/id", np.array([b"\xff", b"b", b"c", b"d", b"e"])), "codec can't decode"),
    (change_column("videos/id", np.array([b"a", b"a", b"c", b"d", b"e"])), "video 'a' lies in both"),
    (patch("videos/frame_count", 1, 5), "video 'a' counts 5 frames of 4"),
    (patch("videos/frame_count", 1, 0), "video 'a' counts 0 frames of 4"),
    (patch("videos/frame_count", 1, -1), "video 'a' counts -1 frames of 4"),
    (patch("captions/full/fusion", 0, 99), "a caption points outside the 4 sentences of its table"),
    (patch("captions/full/fusion", 0, -1), "a caption points outside the 4 sentences of its table"),
    (patch("videos/frames", (2, 0, 0), np.nan), r"1 video with frames that are not finite numbers \(first: 'ccc'\)"),
    (patch("videos/frames", (2, 0, 0), np.inf), r"1 video with frames that are not finite numbers \(first: 'ccc'\)"),
    (patch("texts/full/fusion/embedding", (0, 0), np.nan), "the embedding of 'a dog runs' is not finite"),
    (attribute("schema", None), "is not a feature store of this version .schema None, expected 'camoe-store-2'"),
    (attribute("schema", np.bytes_(b"camoe-store-9")), "of this version .schema 'camoe-store-9', expected"),
    (attribute("kind", None), "is of kind 'None'"),
    (attribute("kind", np.bytes_(b"frames")), "is of kind 'frames' and does not hold just that"),
    (attribute("clip_model", None), "does not say how it was made"),
    (attribute("embed_dim", None), "does not say how it was made"),
    (attribute("embed_dim", np.bytes_(b"8")), "has the embed_dim '8', which cannot be"),
    (attribute("embed_dim", 9), "do not fit each other .*embed_dim 9"),
    (attribute("clip_model", "a string of variable length"), "attribute clip_model of / is not a text or a number"),
    (attribute("clip_model", np.zeros(3)), "attribute clip_model of / is not a text or a number"),
    (attribute("streams", np.bytes_(b"{")), "attribute streams of / is not a dict"),
    (attribute("streams", np.bytes_(b"[]")), "attribute streams of / is not a dict"),
    (attribute("streams", np.bytes_(b"[" * 20000)), "attribute streams of / is not a dict"),
    (attribute("texts/full/fusion/notes", np.bytes_(b"[]")), "attribute notes of .* is not a dict"),
    (attribute("texts/full/fusion/content_sum", np.bytes_(b"zz")), "the content sum of /texts/full/fusion is none"),
    (attribute("clip_logit_scale", 0.0), "the clip_logit_scale 0.0, which cannot be"),
    (attribute("clip_logit_scale", -1.0), "the clip_logit_scale -1.0, which cannot be"),
    (attribute("clip_logit_scale", np.nan), "the clip_logit_scale nan, which cannot be"),
    (attribute("clip_logit_bias", np.inf), "the clip_logit_bias inf, which cannot be"),
    (attribute("clip_logit_bias", np.bytes_(b"-10")), "the clip_logit_bias '-10', which cannot be"),
    (attribute("max_frames", 10**12), "the max_frames 1000000000000, which cannot be"),
    (attribute("max_frames", 1.5), "the max_frames 1.5, which cannot be"),
    (attribute("clip_sha256", 7), "the clip_sha256 7, which cannot be"),
    (attribute("fps", np.bytes_(b"1")), "the fps '1', which cannot be"),
    (attribute("order", -1), "the order -1, which is no number"),
    (change_column("videos/frames", np.zeros((5, 4, 8), ">f2")), "should hold floating-point numbers of rank 3"),
    (change_column("videos/fingerprint", np.zeros(5)), "/videos/fingerprint should hold strings of rank 1"),
    (change_column("tokens/values", np.zeros((9, 8), np.float16)), "offsets of word tokens do not cut 9 tokens into 4"),
    (change_column("tokens/values", np.zeros((16, 4), np.float16)), "word tokens are 4 wide and embed_dim is 8"),
    (change_column("tokens/values", np.zeros((16, 8), np.int16)), "should hold floating-point numbers of rank 2"),
    (change_column("tokens/row", np.zeros(4, np.int64)), "word tokens are not of all its captions"),
    (change_column("tokens/sentence", np.array([b"a"] * 3)), "do not cut .* tokens into 3 sentences"),
    (change_column("tokens/offsets", np.zeros(0, np.int64)), "do not cut .* tokens into 4 sentences"),
    (change_column("tokens/offsets", np.zeros((5, 1), np.int64)), "should hold integers of rank 1"),
    (patch("tokens/offsets", 0, 1), "do not cut .* tokens into 4 sentences"),
    (patch("tokens/offsets", 1, 0), "do not cut .* tokens into 4 sentences"),
    (patch("tokens/offsets", 1, 10**12), "do not cut .* tokens into 4 sentences"),
    (patch("tokens/offsets", 4, 10**12), "do not cut .* tokens into 4 sentences"),
    (patch("tokens/row", 0, 4), "a caption points outside the 4 sentences with word tokens"),
    (patch("tokens/row", 0, -1), "a caption points outside the 4 sentences with word tokens"),
    (patch("tokens/values", (0, 0), np.inf), "the word tokens of 'a dog runs' are not finite"),
    (attribute("tokens/content_sum", np.bytes_(b"zz")), "the content sum of /tokens is none"),
    (removed("tokens/values"), "/tokens/values is missing"),
    (removed("tokens/offsets"), "/tokens/offsets is missing"),
    (removed("videos"), "is of kind 'both' and does not hold just that"),
    (removed("captions"), "is of kind 'both' and does not hold just that"),
    (removed("videos/id"), "/videos/id is missing"),
    (removed("videos/frames"), "/videos/frames is missing"),
    (removed("captions/text"), "/captions/text is missing"),
    (removed("captions/muw"), "has no texts muw/entity; the file is not a whole store"),
    (removed("texts/muw/entity/embedding"), "embedding is missing"),
]  # fmt: skip


@pytest.mark.parametrize(("change", "message"), WRONG, ids=[change.__name__ for change, _ in WRONG])
def test_wrong_contents(sound: Path, change: Callable, message: str) -> None:
    with h5py.File(sound, "r+") as file:
        change(file)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(StoreError, match=message) as caught:
        read_all(sound)
    assert "bad.h5" in str(caught.value)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 300_000, "kilobytes"


def test_one_chunk_that_stands_for_many_is_refused(sound: Path) -> None:
    """Chunks may all be there and tiny, or point to the same bytes: the declared size is compared with the file's."""
    with h5py.File(sound, "r+") as file:
        shape, chunks = (1 << 14, 4, 1024), (1 << 8, 4, 1024)
        frames = replace_dataset(file, "videos/frames", shape=shape, dtype="f2", chunks=chunks, compression="gzip")
        for start in range(0, 1 << 14, 1 << 8):
            frames.id.write_direct_chunk((start, 0, 0), zlib.compress(bytes(1 << 21)))
    with pytest.raises(StoreError, match=r"/videos/frames declares 134,217,728 bytes that the file does not hold"):
        read_all(sound)


@pytest.mark.parametrize("content", [b"", b"\0" * 4096, b"\x89HDF\r\n\x1a\n", b"id,caption\n"])
def test_not_hdf5(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "bad.h5"
    path.write_bytes(content)
    with pytest.raises(StoreError, match=r"bad\.h5 cannot be read as a feature store .*; restore it or run"):
        FeatureStore.open(path)


@pytest.mark.parametrize(
    ("name", "content", "kind"),
    [
        ("captions.csv", b"video_id,caption\na,b\n", ""),
        ("clip.mp4", b"\0\0\0\x18ftypmp42", r" \(it is a video\)"),
        ("features.h5", b"PK\x03\x04 a zip", r" \(it is a zip archive, such as an Excel workbook or an \.npz\)"),
        ("empty", b"", ""),
    ],
)
def test_what_never_was_a_store(tmp_path: Path, name: str, content: bytes, kind: str) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(StoreError, match=rf"{name} is not a feature store{kind}; give one that camoe-extract wrote"):
        FeatureStore.open(tmp_path / name)


def test_other_hdf5_and_other_files(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "keras.h5", "w") as file:
        file["weights"] = np.zeros(3)
    with pytest.raises(StoreError, match=r"keras\.h5 is not a feature store of this version \(schema None"):
        FeatureStore.open(tmp_path / "keras.h5")
    os.mkfifo(tmp_path / "pipe.h5")
    for path in (tmp_path / "pipe.h5", Path("/dev/zero")):
        with pytest.raises(StoreError, match="is not a regular file"):
            FeatureStore.open(path)
    (tmp_path / "loop.h5").symlink_to("loop.h5")
    with pytest.raises(StoreError, match=r"loop\.h5"):
        FeatureStore.open(tmp_path / "loop.h5")


def test_every_truncation_is_refused(make_shard: ShardMaker, tmp_path: Path) -> None:
    image = shard_bytes(make_shard())
    path = tmp_path / "bad.h5"
    for length in range(0, len(image), max(1, len(image) // 60)):
        path.write_bytes(image[:length])
        with pytest.raises(StoreError, match=r"bad\.h5"):
            read_all(path)


@pytest.mark.soak
def test_flipped_bits(make_shard: ShardMaker, tmp_path: Path, soak_count: Callable[[int, int], int]) -> None:
    """Each is refused, or changes nothing that is read; a crash or hang of HDF5 itself ends its own process."""
    image = whole_shard(make_shard)
    path = tmp_path / "sound.h5"
    path.write_bytes(image)
    draw = random.Random(0)
    positions = sorted(draw.randrange(len(image) * 8) for _ in range(soak_count(600, 4000)))
    outcomes: dict[str, int] = {}
    while positions:
        receive, send = FORK.Pipe(duplex=False)
        child = FORK.Process(target=read_flipped, args=(image, positions, tmp_path / "bad.h5", read_all(path), send))
        child.start()
        send.close()
        done = 0
        try:
            while receive.poll(20):
                outcome = receive.recv()
                outcomes[outcome] = outcomes.get(outcome, 0) + 1
                done += 1
        except EOFError:
            pass
        child.kill()
        child.join()
        if done < len(positions):
            outcomes["crash or hang"] = outcomes.get("crash or hang", 0) + 1
        positions = positions[done + 1 :]
    assert set(outcomes) <= {"refused", "equal", "crash or hang"}, outcomes
    assert outcomes["refused"] > soak_count(200, 1500)
    assert outcomes.get("crash or hang", 0) <= soak_count(8, 40), outcomes


def read_flipped(image: bytes, positions: list[int], path: Path, expected: tuple, send: object) -> None:
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    for position in positions:
        flipped = bytearray(image)
        flipped[position // 8] ^= 1 << position % 8
        path.write_bytes(flipped)
        try:
            outcome = "equal" if equal(read_all(path), expected) else f"silent change at byte {position // 8}"
        except StoreError as error:
            outcome = "refused" if "bad.h5" in str(error) else f"unnamed: {error}"
        except BaseException as error:
            outcome = f"{type(error).__name__} at byte {position // 8}: {error}"
        send.send(outcome)  # type: ignore[attr-defined]


def equal(ours: tuple, theirs: tuple) -> bool:
    return repr(ours) == repr(theirs)


def test_hostile_parts_are_not_merged(sound: Path) -> None:
    with h5py.File(sound, "r+") as file:
        patch("videos/frame_count", 1, 5)(file)
    with pytest.raises(StoreError, match="video 'a' counts 5 frames"):
        write_single_file([sound], sound.with_name("merged.h5"))
    assert not sound.with_name("merged.h5").exists()


def test_a_declared_size_within_the_header_alone(make_shard: ShardMaker, tmp_path: Path) -> None:
    """A data set of 2^40 rows in one contiguous piece that begins inside the file."""
    path = tmp_path / "bad.h5"
    with h5py.File(path, "w", libver=("v110", "v110")) as file:
        file.create_dataset("x", data=np.full(7, 0x1122334455667788, np.int64))
    image = path.read_bytes()
    assert image.count(struct.pack("<Q", 56)) >= 1
    path.write_bytes(image.replace(struct.pack("<Q", 7), struct.pack("<Q", 1 << 40)))
    with pytest.raises(StoreError, match=r"bad\.h5"):
        FeatureStore.open(path)
