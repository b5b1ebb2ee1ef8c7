"""Writes how many nodes are alive, a line with the time for every look: run on the head, next to its cluster.

watch.py FILE
"""

from __future__ import annotations

import sys
import time
from pathlib import Path

import ray

if __name__ == "__main__":
    ray.init("auto", log_to_driver=False)
    with Path(sys.argv[1]).open("a", encoding="utf-8", buffering=1) as file:
        while True:
            file.write(f"{time.time()} {sum(node['Alive'] for node in ray.nodes())}\n")
            time.sleep(0.5)
