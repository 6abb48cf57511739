"""Everything that can be set about an extraction."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from ..pipeline.captions.columns import Columns
from ..pipeline.captions.text import WANTED
from ..pipeline.config import Config, SettingError, setting
from ..pipeline.cores import usable_cores
from ..pipeline.engines import engine_names
from ..pipeline.file_kinds import file_kind
from ..pipeline.store.part import Part
from ..pipeline.store.place_name import check_store_name
from .datasets import ADAPTERS, BENCHMARKS, SUBTITLES, dataset_of
from .precision import PRECISIONS
from .sampling import MAX_FRAMES, SAMPLING
from .strategies import STRATEGIES

DEFAULT_CLIP, AUTO = "ViT-B/32", "auto"
DEFAULT_STORE = Path("shards.h5")


@dataclass(frozen=True, kw_only=True)
class ExtractConfig(Config):
    """One extraction; raises `CamoeError` for values that do not fit or do not go together."""

    videos: Path | None = setting(None, help="Folder of videos, searched recursively.")
    captions: Path | None = setting(None, help="Caption file, or the folder with a benchmark's annotation files.")
    dataset: str | None = setting(
        None,
        help="Format of the captions; none: by the file's suffix (csv, json, parquet, subtitles).",
        choices=ADAPTERS,
    )
    caption_columns: tuple[str, ...] = setting(
        (),
        help="Names of your columns or keys: OURS=THEIRS, for example video=clip_name,caption=text. Ours are video, "
        "caption, start, end, split, caption_id.",
    )
    subtitle_seconds: float | None = setting(
        None,
        help="Join neighbouring subtitle cues into captions of at most this many seconds; 0: do not join; none: 10.",
    )
    out: Path | None = setting(
        None, help="Store to write or to continue: NAME.h5, or a folder of shards; none: shards.h5."
    )
    into: Path | None = setting(None, help="Store to add captions, strategies or streams to, instead of --out.")

    clip: str | None = setting(
        None,
        help="OpenAI's name, a weights file, open_clip:NAME/TAG or open_clip:NAME/FILE (SigLIP and others), or tiny "
        "(built in, for trials); none: the store's model, else ViT-B/32.",
    )
    clip_cache: Path | None = setting(
        None, help="Folder of downloaded weights; none: ~/.cache/clip, or open_clip's own."
    )
    precision: str = setting(
        "auto",
        help="Of the encoder; auto: the store's, else what suits the machine (fp16 on a GPU, bf16 or fp32 on a CPU).",
        choices=PRECISIONS,
    )
    mix_precisions: bool = setting(
        False,
        help="Continue a store in another precision than it was begun in; the store then names both.",
    )
    clip_layers: int = setting(
        0,
        help="How many of CLIP's text layers to save beside the store, for models that start from them (seqtransf: 4).",
    )
    device: str = setting("auto", help="auto, cpu, cuda or cuda:N.")
    batch_size: int | None = setting(
        None, help="Frames per batch; none: as in the store, else what suits the machine (64 on a GPU, 16 on a CPU)."
    )

    fps: float = setting(1.0, help="Candidate frames a second.")
    max_frames: int = setting(12, help="Most frames that are kept of a video.")
    sampling: str = setting("uniform", help="Which of the candidate frames are kept.", choices=SAMPLING)
    timeout: float = setting(600.0, help="Seconds that a single video may take.")
    ffmpeg: str | None = setting(
        None, help="ffmpeg binary to use; none: CAMOE_FFMPEG, else PATH, else imageio-ffmpeg's."
    )

    strategies: tuple[str, ...] = setting(("full", "muw"), help="How sentences are built.", choices=STRATEGIES)
    stream: tuple[str, ...] = setting(
        (), help="NAME=TAG,TAG or NAME=@wordlist.txt: add or redefine a stream.", repeat=True
    )
    tokens: bool = setting(
        False, help="Also keep the text tower's output at every token of the captions, for models that compare words."
    )
    tagger: str = setting("hanta", help="Part-of-speech tagger: hanta, or spacy:MODEL.")
    seed: int = setting(0, help="Seed of the split, for your own captions without a split column.")

    workers: int | None = setting(None, help="Videos decoded at once; none: one per core.")
    shard_size: int = setting(256, help="Videos per shard: the most that a killed run can lose.")
    part: str | None = setting(
        None, help="I/N: make only part I of N (from 1). Parts may run at the same time, on any machines."
    )
    engine: str = setting(
        "local",
        help="Where videos are read and encoded: here, on a Ray cluster, or by an engine of another package.",
        choices=engine_names,
    )
    ray_address: str = setting(
        "auto",
        help="With --engine ray: the cluster's address; auto: this machine's; local: a new one on this machine.",
    )
    ray_gpus: float = setting(1.0, help="With --engine ray: GPUs per worker; with 0.5, two workers share one.")
    retry_failed: bool = setting(False, help="Try the videos of failures.csv again, and only those.")
    replace_changed: bool = setting(False, help="Extract videos again if their files have changed.")
    drop_missing_captions: bool = setting(False, help="With --into: drop captions that the file no longer has.")

    def check(self) -> None:
        if self.tokens and self.captions is None and self.into is None:
            raise SettingError("{tokens} keeps the words of captions; give {captions} FILE, or {into} a store of some")
        if self.videos is None and self.captions is None and not self.tokens:
            raise SettingError("give {videos} DIR, {captions} FILE, or both")
        for name in ("batch_size", "max_frames", "shard_size", "fps", "timeout", "workers", "ray_gpus"):
            value = getattr(self, name)
            if value is not None and not 0 < value < 1e9:
                raise SettingError.about(name, f"must be above zero, not {value}")
        if self.max_frames > MAX_FRAMES:
            told = f"must be at most {MAX_FRAMES}, not {self.max_frames}; cut long videos into windows"
            raise SettingError.about("max_frames", told)
        if not 0 <= self.clip_layers <= 1000:
            told = f"must be 0 or a number of the text tower's layers, not {self.clip_layers}"
            raise SettingError.about("clip_layers", told)
        if self.chosen_part is not None and self.videos is None:
            raise SettingError("{part} shares out videos, and no {videos} are given; captions alone need no parts")
        if self.retry_failed and self.videos is None:
            raise SettingError("{retry_failed} reads videos again; give {videos} DIR too")
        if self.drop_missing_captions and (self.into is None or self.captions is None):
            raise SettingError(
                "{drop_missing_captions} brings a store up to date; give {into} STORE and {captions} FILE"
            )
        if self.into is not None and self.out not in (None, self.into):
            raise SettingError(
                "{into} {there} adds to a store and {out} {new} makes one; give one of them",
                there=self.into,
                new=self.out,
            )
        if self.out is not None:
            check_store_name(self.out)
        if self.into is not None and not self.into.exists():
            raise SettingError("{into} {store} does not exist; use {out} to make a new store", store=self.into)
        if self.into is not None and self.into.is_file() and dataset_of(self.into) is not None:
            told = "{into} {file} is a file of captions; name the store with {into}, and this with {captions}"
            raise SettingError(told, file=self.into)
        if self.captions is not None and self.dataset is None and dataset_of(self.captions) is None:
            if (kind := file_kind(self.captions)) is not None:
                told = "{captions} {file} is {kind}, and holds no captions that can be read; {wanted}"
                raise SettingError(told, file=self.captions, kind=kind, wanted=WANTED)
            names = ", ".join(ADAPTERS)
            raise SettingError(
                "{captions} {file} may be anything: {wanted}, or name its format with {dataset} ({names})",
                file=self.captions,
                wanted=WANTED,
                names=names,
            )

        self._check_captions()

    def _check_captions(self) -> None:
        """What is said of captions, beside which captions they are."""
        _ = self.columns
        name = self.dataset_name if self.captions is not None else "none"
        if self.caption_columns and (self.captions is None or name == SUBTITLES or name in BENCHMARKS):
            told = "{caption_columns} names columns of a table of your own, and the captions are {format}; leave it out"
            raise SettingError(told, format=name)
        if self.subtitle_seconds is not None:
            if name != SUBTITLES:
                raise SettingError(
                    "{subtitle_seconds} is about subtitles, and the captions are {format}; leave it out", format=name
                )
            if not 0 <= self.subtitle_seconds <= 3600:
                raise SettingError.about("subtitle_seconds", f"must be from 0 to 3600, not {self.subtitle_seconds}")

    @property
    def columns(self) -> Columns:
        """What the captions' table calls its columns."""
        return Columns.of(self.caption_columns)

    @property
    def chosen_part(self) -> Part | None:
        """Which part of the store's chunks is to be made, `None` for all of it."""
        if self.part is None:
            return None
        found = re.fullmatch(r"(\d{1,9})/(\d{1,9})", self.part.strip())
        if found is None or not 1 <= int(found[1]) <= int(found[2]):
            raise SettingError("{part} {given} should be I/N with I from 1 to N, as 1/8 to 8/8", given=self.part)
        return Part(int(found[1]), int(found[2]))

    @property
    def store(self) -> Path:
        return self.into or self.out or DEFAULT_STORE

    @property
    def dataset_name(self) -> str:
        """The adapter that reads the captions."""
        assert self.captions is not None
        dataset = self.dataset or dataset_of(self.captions)
        assert dataset is not None
        return dataset

    @property
    def worker_count(self) -> int:
        return self.workers or usable_cores()
