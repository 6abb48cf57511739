"""What a sweep will do: its cells held against the store, and the training runs behind them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

from ...pipeline.errors import CamoeError
from ...pipeline.store import SUBSETS, FeatureStore
from ...pipeline.wording import counted
from ...train.config import TrainConfig
from ...train.data import refuse_missing_videos, resolve_protocol
from .config import SweepConfig
from .grid import Cell, Sweep, Table, read_grid
from .result import RAW
from .settings import WORD_TOKENS, identity, key_of, missing_texts
from .training_run import Reranking, TrainingRun


@dataclass(frozen=True)
class Plan:
    """A sweep on a store. `keys` are each cell's training runs, one a seed, by `Cell.identity`."""

    sweep: Sweep
    store: FeatureStore
    protocol: str
    runs: dict[str, TrainingRun]
    keys: dict[str, list[str]]
    left_out: list[str]
    """One sentence for each cell that the store has no sentences for."""
    tags: tuple[str, ...] = ()
    tuned: str = ""
    """How its cells' settings were searched, where they were: for the notes below its tables."""
    allow_missing: bool = False
    """Whether captions without features are left out, as a training alone must be told too."""


def make_plan(config: SweepConfig) -> Plan:
    """Read the grid and hold every cell against the store, before anything is trained.

    Cells that differ only in their re-ranking share a training run. Raises `CamoeError` for a mistake in the grid, a
    protocol without test captions, without `allow_missing` captions of videos that have no features, or, without
    `skip_unavailable`, a cell that the store has no sentences for.
    """
    assert config.grid is not None
    base = {} if config.epochs is None else {"epochs": config.epochs}
    return plan_of(read_grid(config.grid, config.features, config.seeds, base), config)


def plan_of(sweep: Sweep, config: SweepConfig, store: FeatureStore | None = None) -> Plan:
    """`make_plan` of a sweep that is read; `store` is the one that `config` names, where it is open already."""
    store = store or FeatureStore.open(config.features)
    protocol = resolve_protocol(store, config.protocol)
    if not (store.protocols[protocol] == SUBSETS["test"]).any():
        raise CamoeError(f"protocol {protocol} has no test captions, which a sweep reports on; give another --protocol")
    if not config.allow_missing:  # which every run would meet
        refuse_missing_videos(store, protocol)
    sweep, left_out = _available(sweep, store, skip=config.skip_unavailable)
    rerankings = _rerankings(sweep)
    runs: dict[str, TrainingRun] = {}
    keys: dict[str, list[str]] = {}
    for cell in sweep.cells:
        keys[cell.identity] = []
        asked = rerankings[str(identity(cell.config))]
        for run in _runs_of(cell, sweep.seeds, asked, store.content_hash, protocol):
            run = replace(run, max_matrix_bytes=int(config.max_matrix_gb * 2**30))
            runs.setdefault(run.key, run)
            keys[cell.identity].append(run.key)
    return Plan(sweep, store, protocol, runs, keys, left_out, config.tags, allow_missing=config.allow_missing)


def _runs_of(
    cell: Cell, seeds: tuple[int, ...], rerankings: tuple[Reranking, ...], store_hash: str, protocol: str
) -> Iterator[TrainingRun]:
    for config in cell.trainings(seeds):
        plain: TrainConfig = replace(config, rerank="none").training
        name = f"{cell.name}, seed {config.seed}"
        yield TrainingRun(key_of(plain, rerankings, store=store_hash, protocol=protocol), plain, rerankings, name)


def _rerankings(sweep: Sweep) -> dict[str, tuple[Reranking, ...]]:
    """By training settings without a seed, what the cells that share them ask for."""
    found: dict[str, dict[Reranking, None]] = {}
    for cell in sweep.cells:
        found.setdefault(str(identity(cell.config)), {RAW: None})[cell.config.reranking] = None
    return {settings: tuple(asked) for settings, asked in found.items()}


def _command(missing: set[str]) -> str:
    """What gives a store the sentences or word tokens that are missing."""
    strategies = sorted({name.split("/")[0] for name in missing - {WORD_TOKENS}})
    texts = f" --captions FILE --strategies {','.join(strategies)}" if strategies else ""
    return f"camoe-extract{texts} --into STORE{' --tokens' if WORD_TOKENS in missing else ''}"


def _available(sweep: Sweep, store: FeatureStore, *, skip: bool) -> tuple[Sweep, list[str]]:
    """The sweep without the cells whose sentences the store lacks; refused unless `skip`."""
    tables: list[Table] = []
    left_out: list[str] = []
    missing: set[str] = set()
    for table in sweep.tables:
        lacking = {cell.identity: missing_texts(cell.config, store) for cell in table.cells}
        for cell in table.cells:
            if names := lacking[cell.identity]:
                left_out.append(f"{table.name}: {cell.name}: no {', '.join(names)} in the store")
                missing |= set(names)
        kept = [cell for cell in table.cells if not lacking[cell.identity]]
        tables += [replace(table, cells=kept)] if kept else []
    add = f"{_command(missing)} adds them"
    if left_out and not skip:
        raise CamoeError(
            f"the store lacks texts of {counted(len(left_out), 'cell')} (first: {left_out[0]}); {add}, "
            "or leave the cells out: --skip-unavailable"
        )
    if not tables:
        raise CamoeError(f"the store lacks texts of every cell of grid {sweep.name}; {add}")
    return replace(sweep, tables=tables), left_out
