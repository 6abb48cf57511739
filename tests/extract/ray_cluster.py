"""Run in a network namespace of its own, where several Ray nodes can live on one machine: see `test_ray.py`.

A driver is killed with -9 in the middle; the same command is given again, and a node is lost in its middle.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path

from ray.cluster_utils import Cluster

BEGAN = time.monotonic()


def note(what: str) -> None:
    print(f"{time.monotonic() - BEGAN:.1f} s: {what}", file=sys.stderr, flush=True)


def main(store: Path, arguments: list[str]) -> None:
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False})
    node = cluster.add_node(num_cpus=1)
    note("two nodes")
    command = [sys.executable, "-c", "from camoe.extract.cli import main; main()", *arguments]
    command += ["--engine", "ray", "--ray-address", cluster.address]

    killed = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    wait_for_shards(store, 1, killed)
    killed.kill()
    note("driver killed")
    killed.communicate()
    before = shards(store)

    again = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    wait_for_shards(store, len(before) + 1, again)
    note("node lost")
    cluster.remove_node(node, allow_graceful=False)
    said, complaint = again.communicate(timeout=240)
    note("done")
    kept = {name: shards(store)[name] == inode for name, inode in before.items()}
    print(json.dumps({"before": len(before), "kept": kept, "status": again.returncode, "out": said, "err": complaint}))
    sys.stdout.flush()
    cluster.shutdown()
    note("cluster ended")


def shards(store: Path) -> dict[str, int]:
    """The finished shards of frames, each with what tells whether it was written again."""
    return {path.name: path.stat().st_ino for path in store.glob("frames-*.h5")}


def wait_for_shards(store: Path, count: int, driver: subprocess.Popen) -> None:
    until = time.monotonic() + 240
    while len(shards(store)) < count:
        if driver.poll() is not None or time.monotonic() > until:
            driver.kill()
            sys.exit(f"no shard came: {driver.communicate()}")
        time.sleep(0.02)


if __name__ == "__main__":
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    main(Path(sys.argv[1]), sys.argv[2:])
