"""Pages written into run folders, whole or not at all."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from search.comparison.comparable import named_apart
from search.comparison.leaderboard import with_comparisons
from search.pages.html import build_comparison, build_page
from search.run_folder.paths import DASHBOARD_FILE
from search.run_folder.run_view import RunFolderError, RunView, read_run
from ser_core.whole_file import write_whole


def write_dashboard(folder: Path, run: RunView | None = None) -> Path:
    """Write `dashboard.html` into a run folder, whole or not at all; what it shows is `run`, else what the folder says.

    Raises:
        RunFolderError, ConfigError: a folder that is not a readable run, see `read_run`.
        OSError: a folder that cannot be written.
    """
    return write_whole(folder / DASHBOARD_FILE, build_page(read_run(folder) if run is None else run))


def write_comparison(path: Path, folders: Sequence[Path]) -> Path:
    """Write a page that compares the runs in `folders`, whole or not at all.

    Raises:
        RunFolderError: fewer than two runs; else as `write_dashboard`.
        ConfigError: predictions of test clips that cannot be read.
    """
    if len({folder.resolve() for folder in folders}) < 2:
        raise RunFolderError("a comparison takes two or more different runs: name their folders before --compare")
    runs = named_apart([read_run(folder) for folder in folders])
    return write_whole(path, build_comparison(with_comparisons(runs, folders)))
