"""`camoe-extract --tokens`: what the text tower gives at every token, kept beside what a store has already."""

from __future__ import annotations

import csv
import multiprocessing
import os
import random
import shutil
import signal
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from camoe.extract.cli import main as camoe_extract
from camoe.extract.clip_encoder import ClipEncoder
from camoe.extract.clip_weights import clip_package
from camoe.extract.config import ExtractConfig
from camoe.extract.run import Extraction, Silent, extract
from camoe.extract.texts import TextWork, describe_size
from camoe.extract.tokens import TokenSequence
from camoe.pipeline.errors import CamoeError
from camoe.pipeline.store import Captions, FeatureStore
from camoe.pipeline.store.schema import WORD_TOKENS
from camoe.pipeline.store.verify import verify_store
from click.testing import CliRunner

FIRST = Path(__file__).parents[1] / "fixtures" / "camoe-0.1.0"
STORES = ("shards.h5", "store")
TEXTS = [
    "a red circle",
    "a blue square slides over the sand",
    "a red",
    "",
    "word " * 200,
    "emoji 🎬 été",
    "a red circle",
]
ROWS = [(f"v{n % 3}", f"a {colour} disc {verb}") for n, (colour, verb) in enumerate(
    (colour, verb) for colour in ("red", "green", "blue") for verb in ("falls", "rises slowly", "stops"))]  # fmt: skip


@pytest.fixture(scope="module")
def random_clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A state dict of OpenAI's ViT architecture, small and random."""
    torch.manual_seed(1)
    model = clip_package().model.CLIP(64, 64, 2, 128, 32, 77, 49408, 128, 2, 3)
    path = tmp_path_factory.mktemp("clip") / "random.pt"
    torch.save(model.state_dict(), path)
    return path


def sequences_of(texts: list[str]) -> list[TokenSequence]:
    rows = clip_package().tokenize(texts, 77, truncate=True).tolist()
    cut = [tuple(row[: row.index(49407) + 1]) for row in rows]
    return [TokenSequence(tokens, tuple(range(len(tokens)))) for tokens in cut]


def words_before_the_end_is_taken(model: torch.nn.Module, texts: list[str]) -> torch.Tensor:
    """The lines of `clip`'s own `encode_text`, without the one that takes the end token: `(B, 77, D)`."""
    x = model.token_embedding(clip_package().tokenize(texts, truncate=True)).type(model.dtype)
    x = x + model.positional_embedding.type(model.dtype)
    x = model.transformer(x.permute(1, 0, 2)).permute(1, 0, 2)
    return model.ln_final(x).type(model.dtype) @ model.text_projection


@pytest.mark.parametrize("weights", ["random", "tiny"])
def test_every_token_is_clips_own(weights: str, random_clip: Path) -> None:
    encoder = ClipEncoder.load(str(random_clip) if weights == "random" else weights, "cpu", "fp32")
    sequences = sequences_of(TEXTS)

    ours = dict(encoder.encode_words(sequences))

    with torch.inference_mode():
        theirs = words_before_the_end_is_taken(encoder.model, TEXTS)
    assert sorted(ours) == list(range(len(TEXTS)))
    for row, sequence in enumerate(sequences):
        assert ours[row].shape == (len(sequence.tokens), encoder.embed_dim)
        assert (ours[row] - theirs[row, : len(sequence.tokens)]).abs().max() < 1e-5
        assert torch.equal(ours[row][-1], encoder.encode_tokens([sequence])[0])


def test_words_are_the_same_in_any_company() -> None:
    encoder = ClipEncoder.load("tiny", "cpu", "fp32")
    sequences = [TokenSequence((49406, 320, token, 518, 49407), (0, 1, 2, 3, 4)) for token in range(500, 600)]
    together = dict(encoder.encode_words(sequences))
    for row in (0, 37, 99):
        ((_, alone),) = encoder.encode_words([sequences[row]])
        assert torch.equal(together[row], alone)


# -- the store


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory, make_video) -> Path:
    folder = tmp_path_factory.mktemp("clips")
    for name in ("v0", "v1", "v2"):
        make_video(folder / f"{name}.mp4", "-c:v", "libx264", "-pix_fmt", "yuv420p", seconds=0.5)
    return folder


def write(path: Path, rows: list[tuple[str, str]] = ROWS) -> Path:
    with open(path, "w", newline="") as stream:
        csv.writer(stream).writerows([("video_id", "caption"), *rows])
    return path


def run(store: Path, progress: Silent | None = None, **changes: object) -> Extraction:
    values: dict = {"clip": "tiny", "device": "cpu", "precision": "fp32", "workers": 1}
    values |= {"into": store} if changes.pop("mend", False) else {"out": store}
    return extract(ExtractConfig(**(values | changes)), progress)


@pytest.fixture(scope="module")
def at_once(clips: Path, tmp_path_factory: pytest.TempPathFactory) -> FeatureStore:
    folder = tmp_path_factory.mktemp("whole")
    run(folder / "s.h5", videos=clips, captions=write(folder / "c.csv"), tokens=True)
    return FeatureStore.open(folder / "s.h5")


def test_what_is_kept(at_once: FeatureStore) -> None:
    tokens, sentences = at_once.word_tokens, at_once.text_table("full", "fusion")
    assert [tokens.sentence[row] for row in tokens.row] == [sentences.sentence[row] for row in sentences.row]
    assert np.diff(tokens.offsets)[tokens.row].tolist() == [len(s.tokens) for s in sequences_of(at_once.caption_texts)]
    last = tokens.values()[tokens.offsets[1:] - 1]
    np.testing.assert_array_equal(last[tokens.row], sentences.embedding[sentences.row])


@pytest.mark.parametrize("name", STORES)
def test_tokens_may_come_later(clips: Path, tmp_path: Path, at_once: FeatureStore, name: str) -> None:
    """With the file of captions, or without any; another run has nothing to do."""
    file = write(tmp_path / "c.csv")
    for case, later in (("file", {"captions": file}), ("bare", {})):
        store = tmp_path / case / name
        run(store, videos=clips, captions=file)
        done = run(store, mend=True, tokens=True, **later)
        assert (done.sentences, done.frames.frames, done.changes) == (len(ROWS), 0, [])
        assert FeatureStore.open(store).content_hash == at_once.content_hash
        assert verify_store([store]) == []
        assert run(store, mend=True, tokens=True, **later).sentences == 0


@pytest.mark.parametrize("name", ["store.h5", "folder"])
def test_stores_of_the_first_version_get_tokens(tmp_path: Path, name: str) -> None:
    shutil.copytree(FIRST, tmp_path / "first")
    store = tmp_path / "first" / name
    before = FeatureStore.open(store)

    done = CliRunner().invoke(camoe_extract, ["--into", str(store), "--tokens"])

    assert done.exit_code in (0, 3), done.output
    after = FeatureStore.open(store)
    assert "word tokens: about" in done.output
    assert np.array_equal(after.frames(), before.frames())
    assert after.videos_content_sum == before.videos_content_sum
    assert after.settings == before.settings
    table, tokens = after.text_table("full", "fusion"), after.word_tokens
    last = tokens.values()[tokens.offsets[1:] - 1].astype(np.float32)
    np.testing.assert_allclose(last[tokens.row], table.embedding[table.row].astype(np.float32), atol=2e-3)


@pytest.mark.parametrize("name", STORES)
def test_corrected_new_and_dropped_captions(clips: Path, tmp_path: Path, name: str) -> None:
    """Nobody has to say --tokens again: a store that has them gets those of new captions too."""
    store, file = tmp_path / name, write(tmp_path / "c.csv")
    run(store, videos=clips, captions=file, tokens=True)
    write(file, [("v0", "a red disc drops at once"), *ROWS[1:-1], ("v1", "a bird"), ("v2", ROWS[1][1])])
    run(store, captions=file, mend=True, drop_missing_captions=True)
    after = FeatureStore.open(store)
    run(tmp_path / "fresh.h5", videos=clips, captions=file, tokens=True)
    fresh = FeatureStore.open(tmp_path / "fresh.h5").word_tokens
    assert sorted(after.word_tokens.sentence) == sorted(fresh.sentence)
    assert by_text(after) == by_text(FeatureStore.open(tmp_path / "fresh.h5"))
    assert verify_store([store]) == []


def by_text(store: FeatureStore) -> dict[str, bytes]:
    tokens = store.word_tokens
    values = tokens.values()
    spans = zip(tokens.sentence, tokens.offsets[:-1].tolist(), tokens.offsets[1:].tolist(), strict=True)
    return {sentence: values[start:end].tobytes() for sentence, start, end in spans}


def test_captions_keep_the_tokens_that_the_store_has(clips: Path, tmp_path: Path) -> None:
    """To the bit, whatever machine made them: a caption of a known sentence copies its tokens."""
    store, file = tmp_path / "store", write(tmp_path / "c.csv", ROWS[:2])
    run(store, videos=clips, captions=file, tokens=True)
    write(file, [*ROWS[:2], ("v2", ROWS[0][1])])
    assert run(store, captions=file, mend=True).sentences == 0


def test_the_size_is_told_before_the_work(clips: Path, tmp_path: Path) -> None:
    lines: list[str] = []

    class Told(Silent):
        def captions(self, total: int) -> object:  # type: ignore[override]
            lines.append("begins")
            return super().captions(total)

        def note(self, line: str) -> None:
            lines.append(line)

    run(tmp_path / "s.h5", Told(), captions=write(tmp_path / "c.csv"), tokens=True)
    tokens = sum(len(sequence.tokens) for sequence in sequences_of([text for _, text in ROWS]))
    size = f"{tokens * 128 * 2 / 1e3:.1f} kB"
    assert lines == [f"word tokens: about {size} for {len(ROWS)} distinct captions", "begins"]


def test_the_size_of_many_captions_is_estimated() -> None:
    texts = [f"a man number {number}" for number in range(50_000)]
    captions = Captions([str(row) for row in range(50_000)], ["v"] * 50_000, texts, {})
    started = time.monotonic()
    told = describe_size([TextWork(captions, (WORD_TOKENS,))], 512)
    assert told is not None
    assert told.endswith("MB for 50,000 distinct captions")
    size = float(told.split("about ")[1].split(" MB")[0].replace(",", ""))
    true = sum(len(sequence.tokens) for sequence in sequences_of(texts[::50])) * 50 * 1024 / 1e6
    assert abs(size / true - 1) < 0.03
    assert time.monotonic() - started < 30
    assert describe_size([TextWork(captions, (("full", "fusion"),))], 512) is None


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--tokens"], "--tokens keeps the words of captions; give --captions FILE, or --into a store of some"),
        (["--videos", ".", "--tokens"], "--tokens keeps the words of captions; give --captions FILE, or --into"),
        (["--into", "frames.h5", "--tokens"], "--tokens: frames.h5 holds no captions; give --captions FILE"),
    ],
)
def test_wrong_use(
    clips: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str], message: str
) -> None:
    monkeypatch.chdir(tmp_path)
    run(tmp_path / "frames.h5", videos=clips)
    before = sorted(tmp_path.iterdir())
    done = CliRunner().invoke(camoe_extract, arguments)
    assert done.exit_code == 2
    assert message in done.output
    assert sorted(tmp_path.iterdir()) == before


def test_another_model_is_refused(clips: Path, tmp_path: Path, random_clip: Path) -> None:
    run(tmp_path / "s.h5", captions=write(tmp_path / "c.csv"))
    with pytest.raises(CamoeError, match=r"clip_model is tiny in the store and random\.pt asked for"):
        run(tmp_path / "s.h5", mend=True, tokens=True, clip=str(random_clip))


@pytest.mark.soak
@pytest.mark.parametrize("name", STORES)
def test_killed_at_random_and_continued(
    clips: Path,
    tmp_path: Path,
    at_once: FeatureStore,
    name: str,
    soak_count: Callable[[int, int], int],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Nothing is lost or there twice, shards that are done are not touched, and what was there stays readable."""
    monkeypatch.setattr("camoe.extract.run.CAPTIONS_PER_SHARD_OF_TOKENS", 1)  # of the children too: they are forked
    out = tmp_path / name
    run(out, videos=clips, captions=write(tmp_path / "c.csv"))
    bare = FeatureStore.open(out)
    settings = ExtractConfig(into=out, tokens=True, clip="tiny", device="cpu", precision="fp32", workers=1)
    draw = random.Random(0)
    seen: dict[Path, int] = {}
    for _ in range(soak_count(8, 100)):
        child = multiprocessing.get_context("fork").Process(target=extract, args=(settings,))
        child.start()
        time.sleep(draw.uniform(0.02, 0.6))
        os.kill(child.pid or 0, signal.SIGKILL)
        child.join()
        for shard in (out if name == "store" else tmp_path / "shards.h5.parts").glob("*.h5"):
            assert seen.setdefault(shard, shard.stat().st_mtime_ns) == shard.stat().st_mtime_ns
        held = FeatureStore.open(out)
        assert np.array_equal(held.frames(), bare.frames())
        assert len(held.text_table("muw", "entity").row) == len(ROWS)
    extract(settings)
    store = FeatureStore.open(out)
    assert store.content_hash == at_once.content_hash
    assert verify_store([out]) == []
    assert not (tmp_path / "shards.h5.parts").exists()
