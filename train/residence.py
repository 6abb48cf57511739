"""Where a store's features are while it is trained on or scored: on the device, in host memory, or on disk."""

from __future__ import annotations

import os
import resource
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from math import prod
from pathlib import Path

import torch

from ..pipeline.store import FeatureStore
from ..pipeline.text_names import FULL, FUSION
from .names import AUTO, DEVICE, DISK, HOST

SHARE_OF_MEMORY = 0.6
"""Of what is free: the rest is for the model, its steps and what is scored."""
OF_A_RUN = 150_000_000
"""Host memory left to a run besides its features (`benchmarks/resident.py --flat`); it counts where little is free."""
_CGROUPS = {
    "": ("/sys/fs/cgroup", "memory.max", "memory.current", ""),
    "memory": ("/sys/fs/cgroup/memory", "memory.limit_in_bytes", "memory.usage_in_bytes", "total_"),
}
"""Of either version: where they are, and the names of their limit, of what is used, and of cached files."""


@dataclass(frozen=True)
class Residence:
    """`name` is `device`, `host` or `disk`; `told` says in a line why `auto` chose it, none where it was given."""

    name: str
    told: str | None = None


def choose_residence(
    store: FeatureStore,
    asked: str,
    texts: Iterable[tuple[str, str]],
    *,
    words: bool,
    device: torch.device,
    copies: int = 1,
) -> Residence:
    """Where features go: as `asked`, and for `auto` by their size against the memory that is free.

    `texts` are the streams that are read, with their strategies; the features are held `copies` times. What the store
    lacks counts nothing.
    """
    if asked != AUTO or not store.video_ids:
        return Residence(DEVICE if asked == AUTO else asked)
    names = {(FULL, FUSION) if FUSION == stream or way == FULL else (way, stream) for stream, way in texts}
    sentences = sum(store.text_count(*name) for name in names & set(store.text_names))
    tokens = int(store.word_tokens.offsets[-1]) if words and store.has_word_tokens else 0
    numbers = prod(store.frames_shape) + store.frames_shape[2] * sentences
    halves = 2 * copies * (numbers + store.frames_shape[2] * tokens)
    floats = halves + 2 * copies * numbers
    return Residence(*_fitting(floats, halves, device))


def _fitting(floats: int, halves: int, device: torch.device) -> tuple[str, str]:
    """By the bytes of features as they lie on the device, and as the store has them, which is how they are read."""
    on_gpu = device.type == "cuda"
    host = max(0, free_host_bytes() - OF_A_RUN)
    room = _free_on_gpu(device) if on_gpu else host
    needed = floats if on_gpu else floats + halves
    if needed <= SHARE_OF_MEMORY * room and (not on_gpu or halves <= SHARE_OF_MEMORY * host):
        return DEVICE, f"resident auto: device, as the features take {_size(needed)} of {_size(room)} free on {device}"
    name = HOST if halves <= SHARE_OF_MEMORY * host else DISK
    return name, (
        f"resident auto: {name}, as the features would take {_size(needed)} of {_size(room)} free on {device}, and "
        f"{_size(halves)} of {_size(host)} free in host memory"
    )


def _size(count: int) -> str:
    return f"{count / 1e9:,.1f} GB" if count >= 1e9 else f"{count / 1e6:,.1f} MB"


def _free_on_gpu(device: torch.device) -> int:
    return int(torch.cuda.mem_get_info(device)[0])


def free_host_bytes() -> int:
    """Host memory that this process may still take: what the machine has, and its limits allow."""
    found = [_machine_bytes(), *_cgroup_bytes()]
    for limit, used in ((resource.RLIMIT_AS, 0), (resource.RLIMIT_DATA, 5)):
        soft, _ = resource.getrlimit(limit)
        if soft != resource.RLIM_INFINITY:
            found.append(soft - _used_pages(used) * resource.getpagesize())
    return max(0, min(found))


def _machine_bytes() -> int:
    with suppress(OSError, ValueError, StopIteration):
        lines = Path("/proc/meminfo").read_text().splitlines()
        return 1024 * int(next(line for line in lines if line.startswith("MemAvailable:")).split()[1])
    pages = "SC_AVPHYS_PAGES" if "SC_AVPHYS_PAGES" in os.sysconf_names else "SC_PHYS_PAGES"
    return os.sysconf(pages) * os.sysconf("SC_PAGE_SIZE")


def _used_pages(column: int) -> int:
    """Of `/proc/self/statm`: 0 is the address space, 5 data."""
    with suppress(OSError, ValueError):
        return int(Path("/proc/self/statm").read_text().split()[column])
    return 0


def _cgroup_bytes() -> Iterator[int]:
    """What the limits of the control groups that this process is in leave; cached files count as free."""
    for line in _own_groups().splitlines():
        _, kinds, inner = line.split(":", 2)
        if kinds in _CGROUPS:
            root, *names = _CGROUPS[kinds]
            own = Path(root, inner.lstrip("/"))
            for group in (own, *own.parents):
                if group.is_relative_to(root):
                    with suppress(OSError, ValueError):  # no limit, or not to be seen from within a container
                        yield _left(group, *names)


def _own_groups() -> str:
    with suppress(OSError):
        return Path("/proc/self/cgroup").read_text()
    return ""


def _left(group: Path, limit: str, used: str, cached: str) -> int:
    stat = dict(line.split(" ", 1) for line in (group / "memory.stat").read_text().splitlines())
    files = sum(int(stat.get(name, 0)) for name in (f"{cached}inactive_file", f"{cached}active_file"))
    return int((group / limit).read_text()) - int((group / used).read_text()) + files
