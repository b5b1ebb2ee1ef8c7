"""What the runs of a batch say together."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from search.driver.batch import Batch
from search.driver.batch_summary import write_so_far
from search.driver.options import Options
from tests.search.pages.test_folds_page import document_of
from tests.search.test_compare import folds, rename_clips


def test_the_page_grows_from_the_second_fold_that_has_ended(tested: Callable[..., Path], tmp_path: Path) -> None:
    runs = folds(tested, "ast", 0.7, rename_clips)
    document_of({"ast": runs})
    batch = Batch(
        models=("ast",), protocol="kfold:3", folds=("kfold:3:1", "kfold:3:2", "kfold:3:3"), search_per_fold=True,
        options=Options(),
    )  # fmt: skip
    folder, page = tmp_path / "batch", tmp_path / "batch" / "protocol.html"
    folder.mkdir()
    for number, run in enumerate(runs, 1):
        write_so_far(batch, folder)
        assert not page.exists()
        run.rename(folder / f"fold-{number}")
    write_so_far(batch, folder)
    assert "<h1>kfold:3, 2 folds of 3 so far: ast</h1>" in page.read_text()


def test_what_all_runs_say_is_left_to_the_end(tested: Callable[..., Path], tmp_path: Path) -> None:
    runs = folds(tested, "ast", 0.7, rename_clips)
    document_of({"ast": runs})
    batch = Batch(
        models=("ast",), protocol="kfold:2", folds=("kfold:2:1", "kfold:2:2"), search_per_fold=True, options=Options()
    )
    folder = tmp_path / "batch"
    folder.mkdir()
    for number, run in enumerate(runs, 1):
        run.rename(folder / f"fold-{number}")
    write_so_far(batch, folder)
    assert not (folder / "protocol.html").exists()
