"""The cache keeps to its limit: what nobody has used for longest goes, and what a process holds stays."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from ser_core.features.cache import cache_folder, cached_arrays, open_arrays
from ser_core.features.cache_room import cached_bytes, default_limit, make_room

KIB = 1024


def write(cache: Path, name: str, used: int) -> None:
    """A store of 4 KiB of frames and a little beside, last used so many seconds after 1970."""
    cached_arrays(cache, name, lambda: (np.ones((128, 8), np.float32) for _ in range(1)))
    os.utime(cache_folder(cache, name) / "store.json", (used, used))


def names(cache: Path) -> list[str]:
    return sorted(path.name for path in (cache / "features").iterdir() if path.is_dir())


def test_what_was_not_used_for_longest_goes_until_the_rest_fits(tmp_path: Path) -> None:
    for name, used in (("b", 2), ("a", 3), ("c", 1)):
        write(tmp_path, name, used)
    assert 12 * KIB < cached_bytes(tmp_path) < 16 * KIB
    assert make_room(tmp_path, cached_bytes(tmp_path)) == []
    assert make_room(tmp_path, 6 * KIB) == ["c", "b"]
    assert names(tmp_path) == ["a"]
    assert make_room(tmp_path / "nowhere", 0) == []


def test_to_open_a_store_is_to_use_it(tmp_path: Path) -> None:
    write(tmp_path, "a", 1)
    write(tmp_path, "b", 2)
    assert open_arrays(cache_folder(tmp_path, "a")) is not None
    assert make_room(tmp_path, 6 * KIB) == ["b"]


def test_a_store_in_use_stays_for_as_long_as_a_part_of_it_is_used(tmp_path: Path) -> None:
    write(tmp_path, "a", 1)
    arrays = open_arrays(cache_folder(tmp_path, "a"))
    assert arrays is not None
    part = arrays[0][3:5]
    del arrays
    assert make_room(tmp_path, 0) == []
    np.testing.assert_array_equal(part, 1)
    del part
    assert make_room(tmp_path, 0) == ["a"]


def test_another_process_keeps_what_it_holds(tmp_path: Path) -> None:
    write(tmp_path, "a", 1)
    program = (
        "import sys; from pathlib import Path; from ser_core.features.cache import open_arrays\n"
        f"kept = open_arrays(Path({str(cache_folder(tmp_path, 'a'))!r})); print(kept is not None, flush=True)\n"
        "sys.stdin.read()"
    )
    with subprocess.Popen([sys.executable, "-c", program], stdin=-1, stdout=-1, text=True) as child:
        assert child.stdout is not None
        assert child.stdout.readline().strip() == "True"
        assert make_room(tmp_path, 0) == []
        child.communicate("")
    assert make_room(tmp_path, 0) == ["a"]


def test_what_is_gone_is_made_anew(tmp_path: Path) -> None:
    write(tmp_path, "a", 1)
    make_room(tmp_path, 0)
    assert open_arrays(cache_folder(tmp_path, "a")) is None
    frames, _, made = cached_arrays(tmp_path, "a", lambda: (np.ones((2, 3), np.float32) for _ in range(2)))
    assert (frames.shape, made) == ((4, 3), True)


def test_the_limit_counts_what_is_cached_already(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path, "a", 1)
    monkeypatch.setattr("shutil.disk_usage", lambda path: type("Usage", (), {"free": 10 * KIB}))
    assert default_limit(tmp_path) == (10 * KIB + cached_bytes(tmp_path)) // 2
    assert default_limit(tmp_path / "not" / "there") == 5 * KIB
