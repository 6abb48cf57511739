"""Sequences of commands, drawn and partly killed, against a plain model of what the store must then hold."""

from __future__ import annotations

import csv
import os
import shutil
import tempfile
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import hypothesis
import numpy as np
import pytest
from camoe.extract.config import ExtractConfig
from camoe.extract.run import extract
from camoe.pipeline.errors import CamoeError
from camoe.pipeline.store import FeatureStore
from camoe.pipeline.store.merge import merge_stores
from camoe.pipeline.store.verify import verify_store
from dying import DIED, REFUSED, status_of
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

COLOURS = ("red", "green", "blue", "white")
NAMES = ("a", "b", "c", "d", "e")
WORDS = ("a man runs", "two dogs", "the box falls", "a red disc rises")
KILL = st.one_of(st.none(), st.none(), st.integers(0, 40))
BROKEN = b"not a video"


class Commands(RuleBasedStateMachine):
    """`sources` and `captions` are the user's files; `split` is what each video was drawn into when first seen."""

    contents: dict[str, bytes]
    frames: dict[str, np.ndarray]

    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp(prefix="camoe-stateful-"))
        (self.folder / "videos").mkdir()
        self.sources: dict[str, bytes] = {}
        self.captions: list[tuple[str, str]] = []
        self.split: dict[str, int] = {}
        self.extracted: dict[str, bytes] = {}
        self.name = "store"

    def teardown(self) -> None:
        shutil.rmtree(self.folder)

    # -- the user's files

    @initialize(single=st.booleans())
    def begin(self, single: bool) -> None:
        self.name = "s.h5" if single else "store"
        for name, colour in zip(NAMES[:3], COLOURS, strict=False):
            self._write(name, self.contents[colour])
            self.captions += [(name, WORDS[0]), (name, WORDS[1])]
        self._run()

    def _write(self, name: str, content: bytes) -> None:
        self.sources[name] = content
        (self.folder / "videos" / f"{name}.mp4").write_bytes(content)

    @rule(name=st.sampled_from(NAMES), colour=st.sampled_from(COLOURS))
    def put_video(self, name: str, colour: str) -> None:
        self._write(name, self.contents[colour])

    @rule(name=st.sampled_from(NAMES))
    def break_video(self, name: str) -> None:
        self._write(name, BROKEN)

    @rule()
    def copy_the_folder(self) -> None:
        for path in (self.folder / "videos").iterdir():
            os.utime(path, (1, 1))

    @rule(name=st.sampled_from(NAMES), words=st.sampled_from(WORDS))
    def add_caption(self, name: str, words: str) -> None:
        if (name, words) not in self.captions:
            self.captions.append((name, words))

    @precondition(lambda self: len(self.captions) > 3)
    @rule(place=st.integers(0, 99))
    def drop_caption(self, place: int) -> None:
        del self.captions[place % len(self.captions)]

    @rule(place=st.integers(0, 99))
    def mend_caption(self, place: int) -> None:
        name, words = self.captions[place % len(self.captions)]
        if (name, words + " slowly") not in self.captions:
            self.captions[place % len(self.captions)] = (name, words + " slowly")

    # -- commands

    @rule(kill=KILL)
    def extract_again(self, kill: int | None) -> None:
        self._run(kill)

    @rule(kill=KILL)
    def retry(self, kill: int | None) -> None:
        self._run(kill, retry_failed=True)

    @rule(kill=KILL)
    def replace_changed(self, kill: int | None) -> None:
        self._run(kill, replace_changed=True)

    @rule(kill=KILL, drop=st.booleans())
    def bring_captions_up_to_date(self, kill: int | None, drop: bool) -> None:
        if not any(name in self._found() for name, _ in self.captions):
            return
        self._run(kill, videos=None, out=None, into=True, drop_missing_captions=drop)
        held = self._texts()
        asked = Counter(row for row in self.captions if row[0] in self._found())
        assert held == asked if drop else not asked - held

    @rule(kill=KILL, strategy=st.sampled_from(("rkw", "akwe")))
    def add_strategy(self, kill: int | None, strategy: str) -> None:
        if any(name in self._found() for name, _ in self.captions):
            self._run(kill, videos=None, out=None, into=True, strategies=("full", "muw", strategy))

    @rule(kill=KILL)
    def add_word_tokens(self, kill: int | None) -> None:
        if FeatureStore.open(self.path).has_captions:
            self._run(kill, videos=None, captions=None, out=None, into=True, tokens=True)
            assert FeatureStore.open(self.path).has_word_tokens

    @rule(kill=KILL, single=st.booleans())
    def merge(self, kill: int | None, single: bool) -> None:
        target = self.folder / ("merged.h5" if single else "merged")
        before = FeatureStore.open(self.path).content_hash

        def work() -> None:
            merge_stores([self.path], target)

        if kill is None or not self._killed(kill, work):
            if not target.exists():
                work()
            assert FeatureStore.open(target).content_hash == before
            assert FeatureStore.open(target).failures == FeatureStore.open(self.path).failures
        elif not target.exists():
            work()
        assert verify_store([target]) == []
        assert not list(self.folder.glob("merged*.tmp.*"))
        for path in self.folder.glob("merged*"):
            shutil.rmtree(path) if path.is_dir() else path.unlink()

    @property
    def path(self) -> Path:
        return self.folder / self.name

    def _run(self, kill: int | None = None, **changes: object) -> None:
        """The command, killed on the way and given again; refused, it leaves the store as it was."""
        values: dict = {"videos": self.folder / "videos", "captions": self.folder / "c.csv", "out": self.path}
        values |= {"clip": "tiny", "device": "cpu", "precision": "fp32", "workers": 1, "shard_size": 2} | changes
        if values.pop("into", False):
            values["into"] = self.path
        config = ExtractConfig(**{name: value for name, value in values.items() if value is not None})
        with open(self.folder / "c.csv", "w", newline="") as stream:
            csv.writer(stream).writerows([("video_id", "caption"), *self.captions])
        if kill is not None:
            self._killed(kill, lambda: extract(config))
        before = FeatureStore.open(self.path).content_hash if self.path.exists() else ""
        try:
            done = extract(config)
        except CamoeError:
            done = None
        if done is None:
            assert FeatureStore.open(self.path).content_hash == before
            assert self._changed_videos() or self._texts() - Counter(self.captions)
            return
        self._remember(config, done.failed)

    @staticmethod
    def _killed(step: int, work: Callable[[], object]) -> bool:
        status = status_of(step, work, seconds=120)
        assert status in (0, REFUSED, DIED)
        return status == DIED

    def _remember(self, config: ExtractConfig, failed: int) -> None:
        store = FeatureStore.open(self.path)
        if config.videos is not None:
            assert not (self._changed_videos() and not config.replace_changed)
            for name in [*store.video_ids, *store.failures]:
                if name not in self.extracted or config.replace_changed or config.retry_failed:
                    self.extracted[name] = self.sources[name]
            assert failed == len(store.failures)

    def _changed_videos(self) -> set[str]:
        held = set(FeatureStore.open(self.path).video_ids)
        return {name for name in held if self.sources[name] != self.extracted.get(name, self.sources[name])}

    def _found(self) -> set[str]:
        store = FeatureStore.open(self.path)
        return {*store.video_ids, *store.failures}

    def _texts(self) -> Counter[tuple[str, str]]:
        store = FeatureStore.open(self.path)
        return Counter(zip(store.caption_video_ids, store.caption_texts, strict=True))

    # -- what always holds

    @invariant()
    def the_store_is_whole(self) -> None:
        if not self.path.exists():
            return
        store = FeatureStore.open(self.path)
        for row, name in enumerate(store.video_ids):
            frames = store.frames()[row, : store.frame_count[row]]
            assert any(np.array_equal(frames, known) for known in self.frames.values()), name
            if self.extracted.get(name) == self.sources[name]:
                colour = next(colour for colour, content in self.contents.items() if content == self.sources[name])
                assert np.array_equal(frames, self.frames[colour]), name
        for pair in store.text_names:
            assert len(store.text_table(*pair).row) == len(store.caption_ids)
        if store.has_word_tokens:
            tokens, sentences = store.word_tokens, store.text_table("full", "fusion")
            last = tokens.values()[tokens.offsets[1:] - 1]
            assert np.array_equal(last[tokens.row], sentences.embedding[sentences.row])
        for video, code in zip(store.caption_video_ids, store.protocols["own"].tolist(), strict=True):
            assert self.split.setdefault(video, code) == code, "the split drifts"
        assert set(store.video_ids).isdisjoint(
            name for name, failure in store.failures.items() if failure.stage == "decode"
        )


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory, make_video) -> type[Commands]:
    folder = tmp_path_factory.mktemp("world")
    (folder / "videos").mkdir()
    for colour in COLOURS:
        source = ("-f", "lavfi", "-i", f"color={colour}:size=64x48:rate=5:duration=1")
        make_video(folder / "videos" / f"{colour}.mp4", "-c:v", "libx264", "-pix_fmt", "yuv420p", source=source)
    extract(ExtractConfig(videos=folder / "videos", out=folder / "s.h5", clip="tiny", device="cpu", precision="fp32"))
    store = FeatureStore.open(folder / "s.h5")
    Commands.contents = {colour: (folder / "videos" / f"{colour}.mp4").read_bytes() for colour in COLOURS}
    Commands.frames = {
        colour: store.frames()[row, : store.frame_count[row]] for row, colour in enumerate(store.video_ids)
    }
    return Commands


@pytest.mark.soak
def test_drawn_commands(world: type[Commands], soak_count: Callable[[int, int], int]) -> None:
    run_state_machine_as_test(
        world,
        settings=hypothesis.settings(
            max_examples=soak_count(3, 30),
            stateful_step_count=soak_count(8, 20),
            deadline=None,
            derandomize=True,
            suppress_health_check=list(hypothesis.HealthCheck),
            database=None,
        ),
    )
