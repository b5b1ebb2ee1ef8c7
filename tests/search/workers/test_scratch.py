"""What a driver leaves in the temporary folder."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from search.workers._scratch import own, scratch_folder
from search.workers.ray_session import ray_session

PROGRAM = """
import pathlib, sys, time
from search.workers._scratch import own, scratch_folder

with scratch_folder() as scratch:
    own(scratch, pathlib.Path(sys.argv[1]))
    print(scratch, flush=True)
    time.sleep(600)
"""


@pytest.fixture
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The temporary folder, for this process and those that it starts."""
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setenv("TMPDIR", str(folder))
    monkeypatch.setattr(tempfile, "tempdir", None)  # to be found anew
    return folder


def test_a_scratch_folder_goes_with_what_belongs_to_it(temporary: Path) -> None:
    with scratch_folder() as scratch:
        owned = temporary / "session"
        owned.mkdir()
        own(scratch, owned)
        assert scratch.parent == temporary
    assert not any(temporary.iterdir())


def test_what_a_killed_driver_left_is_deleted_by_the_next_and_not_before(temporary: Path) -> None:
    owned = temporary / "session"
    owned.mkdir()
    driver = subprocess.Popen([sys.executable, "-c", PROGRAM, str(owned)], stdout=subprocess.PIPE, text=True)
    assert driver.stdout is not None
    left = Path(driver.stdout.readline().strip())
    with scratch_folder():
        assert left.exists()  # its driver is alive
    driver.kill()
    driver.wait()
    assert left.exists()
    with scratch_folder() as scratch:
        assert list(temporary.iterdir()) == [scratch]
    assert not owned.exists()


def test_folders_of_others_stay(temporary: Path) -> None:
    (temporary / "ser-search-notes").mkdir()
    with scratch_folder():
        pass
    assert [path.name for path in temporary.iterdir()] == ["ser-search-notes"]


def test_a_session_of_ray_leaves_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ray's sockets do not fit into a long path, so this is not pytest's folder."""
    with tempfile.TemporaryDirectory(dir="/tmp", prefix="s") as folder:
        monkeypatch.setenv("TMPDIR", folder)
        monkeypatch.setattr(tempfile, "tempdir", None)
        with ray_session(None, object_store_bytes=80 * 2**20):
            assert list(Path(folder).glob("ray/session_2*"))
        assert not list(Path(folder).glob("ray/session_2*"))
        assert not list(Path(folder).glob("ser-search-*"))
        assert os.listdir(folder) == ["ray"]
