"""The core of search and report: a run's model, or zero-shot, and a store; any text or video against it.

searcher = Searcher.open("runs/x")                        # or Searcher.open(None, "shards.h5"): zero-shot
for hit in searcher.search("a dog catches a ball", top=5):
    print(hit.rank, hit.id, hit.score, hit.moment_s, hit.path)
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from os import PathLike
from pathlib import Path

import numpy as np
import torch

from ...extract.reasons import FrameDecodeError
from ...pipeline.captions.names import without_suffix
from ...pipeline.errors import CamoeError
from ...pipeline.reranking.base import Reranker
from ...pipeline.store import SUBSETS, FeatureStore
from ...pipeline.store.reader import StorePaths
from ...pipeline.store.schema import FULL, FUSION
from ...pipeline.store.video_index import VideoIndex
from ...train.config import TrainConfig
from ...train.data import load_texts, resolve_device
from ...train.model import FeatureShape, build_model
from ...train.run_folder import Run, load_run
from ...train.scorer import Scorer
from ...train.scoring import check_length, check_same_clip, check_words
from ...train.words import WordTokens, with_words
from ..names import NONE
from .bank import fitted, reranked
from .cutoff import Cutoff
from .gallery import Gallery, load_gallery, subset_rows
from .phrases import length_of
from .query_text import QueryReader, TextOptions
from .query_video import embed_file
from .query_words import stored_words
from .ranker import Ranker, pooled
from .records import CaptionHit, Hit, Reading
from .sources import VideoFolder

ZERO_SHOT_STREAMS = {FUSION: FULL, "entity": "muw", "action": "muw"}
"""What zero-shot reads of a store without captions; the fusion stream alone counts unless weights are given."""

WITHOUT_WEIGHT = -0.5
"""What is subtracted counts half, so that what is searched for still leads."""

_CAPTIONS_AT_ONCE = 4096
_TEXTS_AT_ONCE = 8
"""Of a model that meets every pair of text and video, whose products would fill the memory."""

Weights = Mapping[str, float]


@dataclass(frozen=True)
class Part:
    """One thing that is searched for, or subtracted: `texts (S, 1, D)` as the tower gave them (`with_words` of them
    for a model that reads words), or the vectors `videos (S, 1, D)` of a video and its pooled `clip (D,)`; `weight` is
    1, or that of what is subtracted."""

    weight: float
    texts: torch.Tensor | None = None
    videos: torch.Tensor | None = None
    clip: torch.Tensor | None = None
    readings: tuple[Reading, ...] = ()


@dataclass(frozen=True)
class Query:
    """What is searched for, encoded: `score` and `frame_scores` take it.

    `own_row`: of a video of the gallery its row, so that it is not among its own results.
    """

    parts: tuple[Part, ...]
    own_row: int | None = None

    @property
    def readings(self) -> tuple[Reading, ...]:
        """The words of what is searched for as each stream reads them; none where that is a video."""
        return self.parts[0].readings

    @property
    def length(self) -> int | None:
        """How many words are searched for, articles left out; none where they are not known."""
        return length_of(self.readings[0].words) if self.readings else None


@dataclass
class Searcher:
    """Made by `open`. `store` is the store, as `paths` named it, `run` none for zero-shot; `strategies` maps streams to
    strategies.

    Scores by stream are `(S, N)` float32 in logit units, streams in the order of `streams`, videos in that of
    `gallery.ids`. `weights` of `score` and `search` map streams to shares (their sum is made 1); none are the model's.
    """

    run: Run | None
    store: FeatureStore
    gallery: Gallery
    ranker: Ranker
    reader: QueryReader
    folder: VideoFolder
    strategies: dict[str, str]
    paths: StorePaths = ()
    _row: dict[str, int] = field(init=False, repr=False)
    _rerankers: dict[tuple, Reranker] = field(init=False, repr=False, default_factory=dict)

    def __post_init__(self) -> None:
        self._row = {video_id: row for row, video_id in enumerate(self.gallery.ids)}

    @classmethod
    def open(
        cls,
        run: str | PathLike[str] | None,
        features: StorePaths | None = None,
        *,
        videos: str | PathLike[str] | None = None,
        clip: str | None = None,
        clip_cache: str | PathLike[str] | None = None,
        device: str = "auto",
        subset: str | None = None,
        protocol: str | None = None,
        streams: Sequence[str] = (),
        tagger: str | None = None,
        index: str | PathLike[str] | None = None,
        without_emcl: bool = False,
    ) -> Searcher:
        """A run's model on `features` (none: the store that it was trained on), or zero-shot on a store alone.

        `videos` is the folder that the store's videos lie in (none: looked for near the store); `clip`, `clip_cache`,
        `streams` and `tagger` say how queries are read where the store does not; `subset` of `protocol` narrows the
        gallery. With an `index` of the store (camoe-store export), not all videos are compared, but those nearest by
        plain CLIP. A run with EMCL is refused, or compared `without_emcl`. Raises `CamoeError` where something is
        missing or does not fit; the text tower is loaded, and may be refused, when the first text is encoded.
        """
        if run is None and not features:
            raise CamoeError("nothing to search: give --run RUN, or --features STORE for zero-shot")
        loaded = None if run is None else load_run(run)
        if loaded is not None:
            _leave_emcl(loaded, allowed=without_emcl)
        paths = features or (loaded.features if loaded else ())
        store = FeatureStore.open(paths)
        opened = _open_index(index, store, subset)
        target = resolve_device(device)
        if loaded is not None:
            check_same_clip(loaded, store)
        config = loaded.config if loaded else _zero_shot_config(store)
        gallery = _load_gallery(store, loaded, config, subset, protocol, on_disk=opened is not None)
        model = loaded.model if loaded else _zero_shot(config, store, gallery)
        options = TextOptions(clip, None if clip_cache is None else Path(clip_cache), device, tuple(streams), tagger)
        return cls(
            run=loaded,
            store=store,
            gallery=gallery,
            ranker=Ranker(
                model, gallery, device=target, raw=config.facts.raw, nearest=opened.nearest if opened else None
            ),
            reader=QueryReader(store.settings, config.strategies, options),
            folder=VideoFolder.find(store, gallery, None if videos is None else Path(videos)),
            strategies=config.strategies,
            paths=paths,
        )

    @property
    def streams(self) -> list[str]:
        """Names of the `S` streams."""
        return list(self.strategies)

    @property
    def model(self) -> Scorer:
        """The model, on its device."""
        return self.ranker.model

    @property
    def weights(self) -> dict[str, float]:
        """The model's share of each stream."""
        return dict(zip(self.streams, self.model.weights.tolist(), strict=True))

    def row_of(self, video_id: str) -> int:
        """The row of a video in the gallery; raises `CamoeError` where it is not searched."""
        if video_id not in self._row:
            raise CamoeError(
                f"there is no video {video_id!r} among the {len(self.gallery)} that are searched" + self._hint(video_id)
            )
        return self._row[video_id]

    def _hint(self, video_id: str) -> str:
        """What may be meant by an id that is not searched: the end of a sentence, or nothing."""
        if (bare := without_suffix(video_id)) in self._row:
            return f"; the id is {bare!r}"
        if video_id in self.store.video_ids:
            return "; it is in the store, but not in the subset that is searched: leave --subset out"
        if (failure := self.store.failures.get(video_id)) is not None:
            return f"; it could not be extracted: {failure.reason}"
        return ""

    def has(self, video_id: str) -> bool:
        """Whether a video is searched."""
        return video_id in self._row

    def trained_on(self) -> np.ndarray:
        """`(M,)` bool: which of the store's captions the run was trained on, by its protocol."""
        store = self.store
        if self.run is None or self.run.protocol not in store.protocols:
            return np.zeros(len(store.caption_ids), bool)
        held_out = store.caption_video_ids.among(self.run.held_out_videos)
        return (store.protocols[self.run.protocol] == SUBSETS["train"]) & ~held_out

    # -- queries

    def read(self, text: str) -> list[Reading]:
        """A query as each stream reads it: which words it keeps."""
        return self.reader.read(text)

    def query(
        self, text: str | None = None, *, like: str | PathLike[str] | None = None, without: str | None = None
    ) -> Query:
        """A text or, by `like`, a video: the id of one that is searched, or a file; `without` is subtracted."""
        if text is None and like is None:
            raise CamoeError("nothing is searched for; give a text, or a video that others are like")
        if text is not None and like is not None:
            raise CamoeError("a text and a video that others are like are two searches; give one of them")
        if without is not None and not without.strip():
            raise CamoeError("the text that is subtracted is empty; say what should not be seen, or leave it out")
        wanted = self._text_part(text) if text is not None else self._video_part(like or "")
        parts = (wanted,) if without is None else (wanted, self._text_part(without, WITHOUT_WEIGHT))
        return Query(parts, own_row=None if like is None else self._row.get(str(like)))

    def caption_query(self, caption: int) -> Query:
        """A caption of the store, by its row, from its stored embeddings: no text tower is needed."""
        return Query((Part(1, texts=self.caption_embeddings([caption])),))

    def caption_embeddings(self, captions: Sequence[int]) -> torch.Tensor:
        """`(S, M, D)` of captions of the store, by their rows, as they were stored; with their words, where the model
        reads words: raises `CamoeError` then where the store lacks them, or they are too many for the model."""
        rows = torch.as_tensor(captions, dtype=torch.int64, device=self.ranker.device)
        sentences = torch.stack([table.embedding.index_select(0, table.row[rows]) for table in self._tables])
        if self.run is None or not self.reads_words:
            return sentences
        words = stored_words(self.store, np.asarray(captions, np.int64), self.ranker.device)
        check_words(self.run, words.longest)
        return _joined(sentences, words)

    @property
    def reads_words(self) -> bool:
        """Whether the model compares words, not only whole texts."""
        return self.run is not None and self.run.config.facts.words

    @property
    def has_captions(self) -> bool:
        """Whether the store's captions can be compared with videos: a model that reads words needs theirs."""
        return self.store.has_captions and (not self.reads_words or self.store.has_word_tokens)

    @cached_property
    def _tables(self) -> list:
        return [
            load_texts(self.store, strategy, stream, self.ranker.device, raw=True)
            for stream, strategy in self.strategies.items()
        ]

    def _text_part(self, text: str, weight: float = 1.0) -> Part:
        return Part(weight, texts=self.encoded([text]), readings=tuple(self.reader.read(text)))

    def encoded(self, texts: Sequence[str]) -> torch.Tensor:
        """`(S, M, D)` of texts as the tower gives them; with their words, where the model reads words."""
        sentences = self.reader.encode(texts)
        if self.run is None or not self.reads_words:
            return sentences
        room = self.run.record["shape"]["max_words"]
        words = self.reader.encode_words(texts, room)
        if self.run.config.facts.fixes_words and words.longest > room:
            raise CamoeError(
                f"the query has {words.longest} tokens and {self.run.path} was trained on at most {room}; shorten it"
            )
        return _joined(sentences, words)

    def _video_part(self, like: str | PathLike[str]) -> Part:
        frames, mask = self._video_frames(like, "--like")
        return Part(1, videos=self.ranker.encode_queries(frames, mask), clip=pooled(frames)[0])

    def _video_frames(self, video: str | PathLike[str], option: str) -> tuple[torch.Tensor, torch.Tensor]:
        """`X (1, T, D)` and `mask (1, T)` of a video that is searched, by its id, or of a file."""
        if (row := self._row.get(str(video))) is not None:
            return self.gallery.take(np.array([row]), self.ranker.device, raw=self.ranker.raw)
        path = Path(video)
        if not path.exists():
            remedy = self._hint(str(video)) or "; give an id or a video file"
            raise CamoeError(f"{option} {path}: neither a video that is searched nor a file{remedy}")
        embedded = self._embed(path, option).to(self.ranker.device)
        if not self.ranker.raw:
            embedded = torch.nn.functional.normalize(embedded, dim=-1)
        return embedded.unsqueeze(0), torch.ones(1, len(embedded), dtype=torch.bool, device=self.ranker.device)

    def embed(self, path: str | PathLike[str]) -> np.ndarray:
        """The frame embeddings `(T, D)` float32 of a video file, sampled and encoded as the store's were."""
        return self._embed(Path(path), "").cpu().numpy()

    def _embed(self, path: Path, option: str) -> torch.Tensor:
        try:
            return embed_file(path, self.store.settings, self.reader.tower)
        except FrameDecodeError as error:
            named = f"{option} {path}".strip()
            raise CamoeError(f"{named} cannot be searched by ({error.reason}); give another file, or an id") from None

    # -- scores

    def similarity(self, texts: Sequence[str], weights: Weights | None = None) -> np.ndarray:
        """`M` texts against all videos: `(M, N)` float32 in logit units, columns in the order of `gallery.ids`."""
        return self.mix(np.stack([self.wanted_score(self.query(text)) for text in texts], axis=1), weights)

    def score(self, query: Query) -> np.ndarray:
        """`(S, N)`: what is searched for, less what is subtracted; minus infinity where a model does not compare."""
        wanted, *others = (part.weight * self._part_scores(part) for part in query.parts)
        return sum((np.where(np.isfinite(scores), scores, 0) for scores in others), start=wanted)

    def wanted_score(self, query: Query) -> np.ndarray:
        """`(S, N)` of what is searched for alone: the cut-off is about this."""
        return self._part_scores(query.parts[0])

    def _part_scores(self, part: Part) -> np.ndarray:
        if part.texts is not None:
            return self.ranker.of_texts(part.texts)[:, 0].cpu().numpy()
        assert part.videos is not None
        assert part.clip is not None
        return self.ranker.of_video(part.videos, part.clip)[:, 0].cpu().numpy()

    def own_scores(self, texts: torch.Tensor, rows: np.ndarray) -> np.ndarray:
        """`c (S, M, D)`, each against one video of the gallery, `rows (M,)`: `(S, M)`."""
        found = np.empty(texts.shape[:2], np.float32)
        for place, row in enumerate(rows.tolist()):
            found[:, place] = self.ranker.of_rows(texts[:, [place]], np.array([row]))[:, 0, 0].cpu().numpy()
        return found

    def pair_scores(self, texts: torch.Tensor, rows: np.ndarray) -> np.ndarray:
        """`c (S, M, D)` against some videos of the gallery, `rows (B,)`, each pair by the model: `(S, M, B)`."""
        at_once = _TEXTS_AT_ONCE if self.ranker.conditioned else texts.shape[1]
        found = [self.ranker.of_rows(part, rows).cpu().numpy() for part in texts.split(at_once, dim=1)]
        return np.concatenate(found, axis=1)

    def text_scores(self, texts: Sequence[str], best: int) -> np.ndarray:
        """`M` texts against the `best` videos of each, by the model's own weights: `(S, M, best)`, or all of them."""
        found = []
        for text in texts:
            scores = self.ranker.of_texts(self.encoded([text]))[:, 0].cpu().numpy()
            found.append(scores[:, self.best(self.mix(scores), best)])
        return np.stack(found, axis=1)

    def frame_scores(self, query: Query, rows: Sequence[int]) -> np.ndarray:
        """Single frames of `R` videos against a query: `(S, R, T)`, NaN where there is no frame."""
        parts = [part.weight * self.ranker.of_frames(part.texts, part.videos, rows) for part in query.parts]
        return torch.stack(parts).sum(dim=0).cpu().numpy()

    def prepare_moments(self, go_on: Callable[[], bool] = lambda: True) -> bool:
        """Encode the frames of all videos, so that best moments cost one small product; whether they fit (1 GiB).

        For who opens a searcher once and asks it often; without it they are encoded when first shown. `go_on` is asked
        now and then whether to. Nothing to do for models that meet every pair of text and video.
        """
        return not self.ranker.conditioned and self.ranker.frames.prepare(go_on)

    def mix(self, by_stream: np.ndarray, weights: Weights | None = None) -> np.ndarray:
        """`Σ_s w_s · by_stream[s]`: `(S, …) -> (…)`; raises `CamoeError` for weights that are none."""
        share = self.shares(weights)
        used = np.flatnonzero(share)
        return np.tensordot(share[used], by_stream[used], axes=1)

    def shares(self, weights: Weights | None = None) -> np.ndarray:
        """Weights as `(S,)` float32 shares with sum 1; a stream that is not named has none."""
        given = self.weights if weights is None else weights
        if unknown := [name for name in given if name not in self.strategies]:
            raise CamoeError(f"there is no stream {unknown[0]!r}; the streams are {', '.join(self.streams)}")
        share = np.array([given.get(name, 0.0) for name in self.streams], np.float32)
        if not (np.isfinite(share).all() and share.min() >= 0 and share.sum() > 0):
            raise CamoeError("weights of streams must be numbers from 0, not all 0")
        return share / share.sum()

    # -- results

    def search(
        self,
        text: str | None = None,
        *,
        like: str | PathLike[str] | None = None,
        without: str | None = None,
        top: int = 10,
        weights: Weights | None = None,
        cutoff: float | None = None,
        rerank: str = NONE,
    ) -> list[Hit]:
        """`results` for a text, or for a video by `like`, with what is `without` subtracted: see `query`."""
        query = self.query(text, like=like, without=without)
        return self.results(query, top=top, weights=weights, cutoff=cutoff, rerank=rerank)

    def results(
        self,
        query: Query,
        *,
        top: int = 10,
        weights: Weights | None = None,
        cutoff: float | None = None,
        rerank: str = NONE,
    ) -> list[Hit]:
        """The best `top` videos for a query; none whose own score is below the `cutoff`.

        A video of the gallery, by its id, is not among those like it; a file's own copy in the gallery is. A text's
        videos may be re-ranked by one of `camoe.evaluate.names.ONE_QUERY`: then that is their score.
        """
        scores = self.mix(self.score(query), weights)
        if rerank != NONE:
            scores = reranked(self._reranker(rerank, weights), scores)
        allowed = self.others(query)
        if cutoff is not None:
            allowed &= self.mix(self.wanted_score(query), weights) >= cutoff
        return self.hits(query, scores, self.best(scores, top, allowed), weights)

    def others(self, query: Query) -> np.ndarray:
        """`(N,)` bool: all videos but the one that is itself what is searched by."""
        found = np.ones(len(self.gallery), bool)
        if query.own_row is not None:
            found[query.own_row] = False
        return found

    def _reranker(self, name: str, weights: Weights | None) -> Reranker:
        """Fitted when it is first asked for."""
        key = name, tuple(self.shares(weights).tolist())
        if key not in self._rerankers:
            self._rerankers[key] = fitted(self, name, weights)
        return self._rerankers[key]

    @staticmethod
    def best(scores: np.ndarray, top: int, allowed: np.ndarray | None = None) -> np.ndarray:
        """Rows of the `top` best of `scores (N,)`, best first, equal ones by id; only `allowed (N,)` ones."""
        rows = np.flatnonzero(np.isfinite(scores) if allowed is None else allowed & np.isfinite(scores))
        if len(rows) > top:
            part = scores[rows]
            edge = np.partition(part, len(part) - top)[len(part) - top]
            rows = rows[part >= edge]
        return rows[np.argsort(-scores[rows], kind="stable")][:top]

    def hits(self, query: Query, scores: np.ndarray, rows: np.ndarray, weights: Weights | None = None) -> list[Hit]:
        """The records of some rows, in their order, each with its best moment."""
        if not len(rows):
            return []
        frames = self.mix(self.frame_scores(query, rows.tolist()), weights)
        return [
            Hit(
                rank,
                self.gallery.ids[row],
                round(float(scores[row]), 4),
                self._moment(row, frames[place]),
                self.folder.shown(self.gallery.source[row]),
            )
            for place, (rank, row) in enumerate(enumerate(rows.tolist(), start=1))
        ]

    def _moment(self, row: int, frames: np.ndarray) -> float | None:
        moment = float(self.gallery.times_s[row, int(np.nanargmax(frames))])
        return round(moment, 3) if np.isfinite(moment) else None

    def captions_for(
        self, video: str | PathLike[str], *, top: int = 10, weights: Weights | None = None
    ) -> list[CaptionHit]:
        """The store's captions that fit a video best: one of the store, by its id, or a file."""
        if not self.store.has_captions or not self.store.caption_ids:
            raise CamoeError(f"{self.store.shards[0].path} has no captions to look through; search for videos instead")
        frames, mask = self._video_frames(video, "--captions-for")
        store, found = self.store, []
        for part in np.array_split(np.arange(len(store.caption_ids)), -(-len(store.caption_ids) // _CAPTIONS_AT_ONCE)):
            texts = self.caption_embeddings(part.tolist())
            found.append(self.mix(self.ranker.pairs(texts, frames, mask)[:, :, 0].cpu().numpy(), weights))
        scores = np.concatenate(found)
        rows = self.best(scores, top)
        columns = (store.caption_ids, store.caption_video_ids, store.caption_texts)
        best = zip(rows.tolist(), *(column.take(rows) for column in columns), strict=True)
        return [
            CaptionHit(rank, caption_id, video_id, round(float(scores[row]), 4), text)
            for rank, (row, caption_id, video_id, text) in enumerate(best, start=1)
        ]

    @cached_property
    def cutoff(self) -> Cutoff:
        """Where nonsense ends, as far as it can be told (`cutoff.py`)."""
        return Cutoff.of(self)

    def auto_cutoff(
        self, query: Query, weights: Weights | None = None, wanted: np.ndarray | None = None
    ) -> float | None:
        """The calibrated cut-off for a query; none for a video, as it is about texts.

        `wanted` is `wanted_score(query)`, where it is known already.
        """
        if query.length is None:
            return None
        if (sample := self.cutoff.sample_for(query.length)) is None:
            return self.cutoff.at(weights)
        if wanted is not None and self.ranker.candidates is None:
            typical = wanted[:, sample]
        else:
            assert query.parts[0].texts is not None
            typical = self.pair_scores(query.parts[0].texts, sample)[:, 0]
        return self.cutoff.of_short(query.length, typical, weights)


def _open_index(index: str | PathLike[str] | None, store: FeatureStore, subset: str | None) -> VideoIndex | None:
    if index is None:
        return None
    if subset is not None:
        raise CamoeError("--index is of all videos of a store, and --subset wants some; leave one of them out")
    return VideoIndex.open(Path(index), store)


def _load_gallery(
    store: FeatureStore,
    run: Run | None,
    config: TrainConfig,
    subset: str | None,
    protocol: str | None,
    *,
    on_disk: bool,
) -> Gallery:
    seed = config.seed if config.shuffle_frames else None
    if subset is None:
        gallery = load_gallery(store, shuffle_seed=seed, on_disk=on_disk)
    else:
        own = run is not None and run.protocol in store.protocols
        name = protocol or (run.protocol if run is not None and own else None)
        held_out = run.held_out_videos if run is not None and name == run.protocol else []
        gallery = load_gallery(store, subset_rows(store, subset, name, held_out), shuffle_seed=seed)
    if run is not None:
        check_length(run, gallery.max_frames)
    return gallery


def _leave_emcl(run: Run, *, allowed: bool) -> None:
    """Take EMCL off a run's model; raises `CamoeError` if not `allowed`, as its scores are others then."""
    if run.config.emcl and not allowed:
        raise CamoeError(
            f"{run.path} was trained with --emcl, which needs all queries at once, and a search has one; "
            "search with a run without it"
        )
    run.model.emcl = None


def _joined(sentences: torch.Tensor, words: WordTokens) -> torch.Tensor:
    """`(S, M, D)` and the words of all `M` -> `with_words` of them."""
    rows = torch.arange(len(words.row), device=words.row.device)
    return with_words(sentences, *words.padded(rows, words.longest))


def _zero_shot_config(store: FeatureStore) -> TrainConfig:
    """Whole queries count; the other streams that the store can tell are there to be weighed."""
    strategies = _stored_strategies(store) if store.has_captions else ZERO_SHOT_STREAMS
    return TrainConfig(
        features=("store",),
        model="zero-shot",
        streams=tuple(strategies),
        strategy=tuple(f"{stream}={strategy}" for stream, strategy in strategies.items() if stream != FUSION)
        or ("muw",),
        stream_weights=tuple(float(stream == FUSION) for stream in strategies),
    )


def _stored_strategies(store: FeatureStore) -> dict[str, str]:
    """The streams of the store's texts, each by one strategy: muw where it is there."""
    found: dict[str, str] = {FUSION: FULL}
    for strategy, stream in sorted(store.text_names, key=lambda name: (name[0] != "muw", name)):
        if stream != FUSION:
            found.setdefault(stream, strategy)
    return found


def _zero_shot(config: TrainConfig, store: FeatureStore, gallery: Gallery) -> Scorer:
    shape = FeatureShape(store.settings.embed_dim, gallery.max_frames, float(store.settings.clip_logit_scale))
    return build_model(config.recipe, shape).eval()
