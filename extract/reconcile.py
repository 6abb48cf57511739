"""The captions of a file held against those of a store: what is new, what reads differently, what is gone.

Data sets rarely name their captions; an id is then the place in the file (`video#003`), which moves when a line is
added. So a caption is found again by its video and its words, and only then by its id.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from ..pipeline.errors import CamoeError
from ..pipeline.store import Captions, FeatureStore
from ..pipeline.store.live_part import caption_rows
from ..pipeline.store.schema import SUBSETS, UNUSED, CaptionKey, TextName
from .datasets import CaptionSet
from .texts import TextWork

_SHOWN = 3


@dataclass(frozen=True)
class Reconciled:
    """`captions` are the file's, under the ids that the store knows them by; `fresh`, `changed` and `retold` are rows.

    `changed` captions read differently in the store, or are in another subset there; `retold` ones only belong to a
    protocol that the store did not know. `others` are rows of the store's captions that the file does not have, and
    `missing` those of them that the file's protocols are about. `differences` says of each of `changed`, in words, what
    the store has and what the file.
    """

    captions: Captions
    unchanged: int
    fresh: list[int]
    changed: list[int]
    retold: list[int]
    others: list[int]
    missing: list[CaptionKey]
    place: np.ndarray
    """The store's row of each of `captions`, -1 where it has none."""
    differences: list[str] = field(default_factory=list)

    def refuse_changes(self, out: object) -> None:
        """Raises `CamoeError` where captions changed: without `--into`, a store only grows."""
        if self.changed:
            raise CamoeError(
                f"captions that are not as they are in {out}: {len(self.changed)} (first: {self.differences[0]}); "
                f"bring the store up to date with --into {out}, or give another --out"
            )


def reconcile(captions: CaptionSet, store: FeatureStore | None) -> Reconciled:
    """Hold the file's captions against the store's."""
    mine = Captions(captions.caption_id, captions.video_id, captions.text, captions.protocols, captions.shortfall)
    if store is None or not store.has_captions:
        return Reconciled(mine, 0, list(range(len(mine.id))), [], [], [], [], np.full(len(mine.id), -1, np.int64))
    there = store.captions
    theirs = replace(there, id=list(there.id), video_id=list(there.video_id), text=list(there.text))
    place, ids = _match(mine, theirs)
    mine = _with_protocols(replace(mine, id=ids), theirs, place)
    fresh = [row for row, there in enumerate(place) if there < 0]
    known = [row for row, there in enumerate(place) if there >= 0]
    changed = [row for row in known if _differs(mine, row, theirs, place[row], captions.protocols)]
    retold = [row for row in sorted(set(known) - set(changed)) if _is_new_to(mine, row, theirs, place[row])]
    others = sorted(set(range(len(theirs.id))) - set(place))
    return Reconciled(
        captions=mine,
        unchanged=len(known) - len(changed),
        fresh=fresh,
        changed=changed,
        retold=retold,
        others=others,
        missing=_missing(theirs, others, captions.protocols),
        place=np.array(place, np.int64),
        differences=[_difference(mine, row, theirs, place[row]) for row in changed],
    )


def _difference(mine: Captions, row: int, theirs: Captions, there: int) -> str:
    key = f"{mine.id[row]!r} of video {mine.video_id[row]!r}"
    if mine.text[row] != theirs.text[there]:
        return f"{key} was {theirs.text[there]!r} and is {mine.text[row]!r} now"
    names = {code: name for name, code in SUBSETS.items()}
    moved = (
        f"in {name} from {names[int(codes[there])]} to {names.get(int(mine.protocols[name][row]), 'unused')}"
        for name, codes in theirs.protocols.items()
        if codes[there] not in (UNUSED, mine.protocols[name][row])
    )
    return f"{key} moved {', '.join(moved)}"


def compare_captions(
    captions: CaptionSet | None, store: FeatureStore | None, *, out: object, may_change: bool, tokens: bool
) -> Reconciled | None:
    """A file's captions beside those of the store `out`; without a file, the store's own where its `tokens` are wanted.

    Raises `CamoeError` where captions would change though they must not, or where there are none.
    """
    if captions is None:
        if not tokens:
            return None
        if store is None or not store.has_captions:
            raise CamoeError(f"--tokens: {out} holds no captions; give --captions FILE")
        return unchanged(store)
    found = reconcile(captions, store)
    if not may_change:
        found.refuse_changes(out)
    return found


def unchanged(store: FeatureStore) -> Reconciled:
    """The store's captions as they are, where no file is held against them."""
    none = np.empty(0, np.int64)
    return Reconciled(caption_rows(store.captions, none), 0, [], [], [], [*range(len(store.caption_ids))], [], none)


def _match(mine: Captions, theirs: Captions) -> tuple[list[int], list[str]]:
    """The store's row of each of the file's captions, -1 where there is none, and the id that it has or gets."""
    by_words: dict[tuple[str, str], list[int]] = defaultdict(list)
    by_key: dict[CaptionKey, int] = {}
    for row in reversed(range(len(theirs.id))):
        by_words[theirs.video_id[row], theirs.text[row]].append(row)
        by_key[theirs.video_id[row], theirs.id[row]] = row
    place = [-1] * len(mine.id)
    for same_id in (True, False):
        for row, words in enumerate(zip(mine.video_id, mine.text, strict=True)):
            rows = by_words.get(words, [])
            if place[row] < 0 and rows:
                named = by_key.get((mine.video_id[row], mine.id[row]))
                if same_id and named in rows:
                    rows.remove(named)
                    place[row] = named
                elif not same_id:
                    place[row] = rows.pop()
    taken = set(place)
    for row, key in enumerate(zip(mine.video_id, mine.id, strict=True)):
        if place[row] < 0 and (there := by_key.get(key, -1)) not in taken:
            place[row] = there
    return place, _ids(mine, theirs, place, set(by_key))


def _ids(mine: Captions, theirs: Captions, place: Sequence[int], used: set[CaptionKey]) -> list[str]:
    """The store's id where a caption is known; a new one keeps its own, or the next number that is free."""
    ids = []
    for row, there in enumerate(place):
        video_id, name = mine.video_id[row], mine.id[row]
        if there >= 0:
            ids.append(theirs.id[there])
            continue
        stem, mark, digits = name.rpartition("#")
        while (video_id, name) in used:
            if mark and digits.isdigit():
                digits = f"{int(digits) + 1:0{len(digits)}d}"
                name = f"{stem}#{digits}"
            else:
                name += "'"
        used.add((video_id, name))
        ids.append(name)
    return ids


def _with_protocols(mine: Captions, theirs: Captions, place: Sequence[int]) -> Captions:
    """The file's captions with the subsets that the store has for them in other protocols."""
    rows = np.array(place, np.int64)
    protocols, shortfall = dict(mine.protocols), {**theirs.shortfall, **mine.shortfall}
    for name, codes in theirs.protocols.items():
        if name not in protocols:
            protocols[name] = np.where(rows >= 0, codes[rows], np.uint8(UNUSED))
    return replace(mine, protocols=protocols, shortfall={name: shortfall.get(name, {}) for name in protocols})


def _differs(mine: Captions, row: int, theirs: Captions, there: int, protocols: dict[str, np.ndarray]) -> bool:
    if mine.text[row] != theirs.text[there]:
        return True
    return any(
        name in theirs.protocols and theirs.protocols[name][there] not in (UNUSED, codes[row])
        for name, codes in protocols.items()
    )


def _is_new_to(mine: Captions, row: int, theirs: Captions, there: int) -> bool:
    return any(
        codes[row] != UNUSED and (name not in theirs.protocols or theirs.protocols[name][there] == UNUSED)
        for name, codes in mine.protocols.items()
    )


def _missing(theirs: Captions, others: list[int], protocols: dict[str, np.ndarray]) -> list[CaptionKey]:
    """The store's captions that the file's protocols are about and the file does not have."""
    about = [theirs.protocols[name] for name in protocols if name in theirs.protocols]
    elsewhere = [codes for name, codes in theirs.protocols.items() if name not in protocols]
    return [
        (theirs.video_id[row], theirs.id[row])
        for row in others
        if any(codes[row] != UNUSED for codes in about) or all(codes[row] == UNUSED for codes in elsewhere)
    ]


def text_work(
    found: Reconciled,
    names: Sequence[TextName],
    store: FeatureStore | None,
    *,
    captions_per_shard: int,
    drop_missing: bool = False,
) -> list[TextWork]:
    """What is to be published so that the store holds the texts `names` of all of its captions.

    Everything that takes captions back is in the first piece, so that it happens at once or not at all.
    """
    held = store.captions_with_texts() if store is not None else {}
    all_names = tuple(dict.fromkeys([*names, *held]))
    dropped = set(found.missing) if drop_missing else set()
    work = []
    if found.changed or dropped:
        captions = caption_rows(found.captions, np.array(found.changed, np.int64))
        removed = sorted(dropped.union(_keys(captions)))
        work.append(TextWork(captions, all_names if found.changed else (), tuple(removed)))
    rows = sorted(set(range(len(found.captions.id))) - set(found.changed))
    lacking = _Lacking(all_names, held, captions_per_shard)
    work += lacking.work(found.captions, rows, found.place, set(found.retold))
    if store is not None and found.others:
        theirs = store.captions
        kept = found.others
        if dropped:
            kept = [row for row in kept if (theirs.video_id[row], theirs.id[row]) not in dropped]
        work += lacking.work(theirs, kept, np.arange(len(theirs.id)))
    return work


@dataclass(frozen=True)
class _Lacking:
    """What is looked for: the texts `names`, of which the store has those that are `held`, by its rows."""

    names: tuple[TextName, ...]
    held: Mapping[TextName, np.ndarray]
    captions_per_shard: int

    def work(
        self, captions: Captions, rows: Sequence[int], place: np.ndarray, retold: Collection[int] = ()
    ) -> list[TextWork]:
        """Pieces for those of `rows` that lack some texts, or are to be `retold`; `place (M,)` is a caption's row in
        the store, -1 where it is new."""
        chosen = np.array(rows, np.int64)
        there = place[chosen]
        has = [
            (there >= 0) & self.held[name][there] if name in self.held else np.zeros(len(chosen), bool)
            for name in self.names
        ]
        told = np.isin(chosen, list(retold))
        wanted = np.flatnonzero(told | ~np.logical_and.reduce(has, axis=0)) if has else np.flatnonzero(told)
        groups: dict[tuple[TextName, ...], list[int]] = defaultdict(list)
        for row in wanted.tolist():
            lacking = tuple(name for name, held in zip(self.names, has, strict=True) if not held[row])
            groups[lacking].append(int(chosen[row]))
        size = self.captions_per_shard
        return [
            TextWork(caption_rows(captions, np.array(part[start : start + size], np.int64)), lacking)
            for lacking, part in groups.items()
            for start in range(0, len(part), size)
        ]


def _keys(captions: Captions) -> list[CaptionKey]:
    return list(zip(captions.video_id, captions.id, strict=True))


def describe_changes(found: Reconciled, *, drop_missing: bool) -> list[str]:
    """What became of the captions of a store that was brought up to date, in lines for people."""
    counts = [(len(found.fresh), "new"), (len(found.changed), "changed"), (found.unchanged, "unchanged")]
    lines = ["captions: " + ", ".join(f"{count} {what}" for count, what in counts if count)]
    lines += [f"  {difference}" for difference in found.differences[:_SHOWN]]
    lines += ["  …"] * (len(found.differences) > _SHOWN)
    if found.missing:
        shown = ", ".join(repr(caption_id) for _, caption_id in found.missing[:_SHOWN])
        more = ", …" if len(found.missing) > _SHOWN else ""
        what = "dropped" if drop_missing else "kept (--into STORE --drop-missing-captions drops them)"
        lines.append(f"captions of the store that are not in the file: {len(found.missing)} ({shown}{more}); {what}")
    return lines


def known_split(store: FeatureStore | None, protocol: str = "own") -> dict[str, int]:
    """The subset of each video, or of the file that a window is cut from, in a protocol that the store has drawn."""
    if store is None or not store.has_captions or protocol not in store.protocols:
        return {}
    codes, owners = store.protocols[protocol], store.caption_video_ids
    of_video = np.zeros(len(owners.distinct), np.uint8)
    rows = np.flatnonzero(np.isin(codes, list(SUBSETS.values())))
    of_video[owners.codes[rows]] = codes[rows]
    used = np.flatnonzero(of_video)
    known = dict(zip(owners.distinct.take(used), of_video[used].tolist(), strict=True))
    return known | {video.rpartition("@")[0]: code for video, code in known.items() if "@" in video}
