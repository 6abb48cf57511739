"""Run in a network namespace of its own, where several Ray nodes can live on one machine: see `test_sweep_ray.py`.

A sweep loses a node in its middle; what it said is printed as JSON.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path

from ray.cluster_utils import Cluster


def main(out: Path, arguments: list[str]) -> None:
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False})
    node = cluster.add_node(num_cpus=1)
    command = [sys.executable, "-m", "camoe.evaluate.sweep.cli", *arguments, "--out", str(out)]
    command += ["--engine", "ray", "--ray-address", cluster.address]
    driver = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    wait_for_a_cell(out, driver)
    cluster.remove_node(node, allow_graceful=False)
    said, complaint = driver.communicate(timeout=240)
    print(json.dumps({"status": driver.returncode, "out": said, "err": complaint}), flush=True)
    cluster.shutdown()


def wait_for_a_cell(out: Path, driver: subprocess.Popen) -> None:
    until = time.monotonic() + 240
    while not list(out.glob("cells/*.json")):
        if driver.poll() is not None or time.monotonic() > until:
            driver.kill()
            sys.exit(f"no cell came: {driver.communicate()}")
        time.sleep(0.02)


if __name__ == "__main__":
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    main(Path(sys.argv[1]), sys.argv[2:])
