"""How much memory is free for a trial, on a GPU or beside other processes of this machine or container."""

from __future__ import annotations

import os
from pathlib import Path

import torch

MEMORY_INFO = Path("/proc/meminfo")
CONTAINER = Path("/sys/fs/cgroup")
"""Where version 2 of Linux's control groups says what a container may take."""


def free_bytes(device: torch.device, share: float = 1.0) -> int:
    """What a trial that has this share of a device may take of its memory: its share, or less where less is free."""
    if device.type == "cuda":
        free, total = torch.cuda.mem_get_info(device)
        return int(min(free, share * total))
    return int(share * host_bytes())


def host_bytes(meminfo: Path = MEMORY_INFO, container: Path = CONTAINER) -> int:
    """What this machine or container has left without swapping; file contents that can be read again count as free.

    Half of all memory where the system does not say.
    """
    free = _machine_bytes(meminfo)
    limit = _number(container / "memory.max")
    used = _number(container / "memory.current")
    if limit is None or used is None:
        return free
    stat = (container / "memory.stat").read_text().split()
    kept = dict(zip(stat[::2], map(int, stat[1::2]), strict=True))
    return max(0, min(free, limit - used + kept.get("inactive_file", 0) + kept.get("active_file", 0)))


def _machine_bytes(meminfo: Path) -> int:
    if meminfo.is_file():
        for line in meminfo.read_text().splitlines():
            if line.startswith("MemAvailable:"):
                return int(line.split()[1]) * 1024
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 2


def _number(path: Path) -> int | None:
    """What a file says; None where there is none, or where it says "max"."""
    text = path.read_text().strip() if path.is_file() else ""
    return int(text) if text.isdecimal() else None
