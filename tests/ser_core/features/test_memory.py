"""Free memory as Linux tells it, of a machine and of a container."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from ser_core.features.clip_source import RESIDENT_SHARE, resident_bytes
from ser_core.features.memory import free_bytes, host_bytes

GIB = 2**30


@pytest.fixture
def meminfo(tmp_path: Path) -> Path:
    path = tmp_path / "meminfo"
    path.write_text("MemTotal:       25165824 kB\nMemFree:         1048576 kB\nMemAvailable:    8388608 kB\n")
    return path


def container(folder: Path, limit: str) -> Path:
    """A container that uses 3 GiB, of which one is contents of files."""
    (folder / "memory.max").write_text(f"{limit}\n")
    (folder / "memory.current").write_text(f"{3 * GIB}\n")
    (folder / "memory.stat").write_text(f"anon {2 * GIB}\ninactive_file {GIB // 2}\nactive_file {GIB // 2}\n")
    return folder


def test_without_a_container_it_is_what_the_machine_has(meminfo: Path, tmp_path: Path) -> None:
    assert host_bytes(meminfo, tmp_path / "none") == 8 * GIB


@pytest.mark.parametrize(("limit", "free"), [(str(6 * GIB), 4), (str(2 * GIB), 0), (str(99 * GIB), 8), ("max", 8)])
def test_a_container_has_no_more_than_its_limit_and_contents_of_files_count_as_free(
    limit: str, free: int, meminfo: Path, tmp_path: Path
) -> None:
    assert host_bytes(meminfo, container(tmp_path, limit)) == free * GIB


def test_a_system_that_says_nothing_has_half_of_its_memory(tmp_path: Path) -> None:
    assert host_bytes(tmp_path / "none", tmp_path) > 0


def test_a_trial_has_its_share_and_its_features_a_part_of_that() -> None:
    device = torch.device("cpu")
    assert 0 < free_bytes(device, 0.25) < host_bytes()
    assert 0 < resident_bytes(device, 0.25) <= RESIDENT_SHARE * host_bytes() / 2
