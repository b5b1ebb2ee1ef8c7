"""The examples do what their first lines promise, each as a person starts it."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

REPOSITORY = Path(__file__).parents[2]


def run(script: str, *arguments: object) -> str:
    done = subprocess.run(
        [sys.executable, str(REPOSITORY / "examples" / script), *map(str, arguments)],
        capture_output=True, text=True, timeout=600,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def tuned(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """The run that examples/tune.py leaves, and what it prints."""
    folder = tmp_path_factory.mktemp("tuned") / "run"
    return folder, run("tune.py", folder)


def test_tuning_from_python_leaves_a_run_and_a_model(tuned: tuple[Path, str]) -> None:
    folder, printed = tuned
    assert (folder / "result.json").exists()
    assert "test UAR" in printed
    assert "'angry'" in printed  # a class of the model


def test_a_run_is_read_with_pandas(tuned: tuple[Path, str]) -> None:
    printed = run("read_run.py", tuned[0])
    assert "COMPLETE" in printed
    assert "epoch" in printed
    assert "speaker" in printed


def test_the_notebook_runs_and_shows_the_run(tuned: tuple[Path, str], tmp_path: Path) -> None:
    notebook = nbformat.read(REPOSITORY / "examples" / "run.ipynb", as_version=4)
    assert not any(cell.get("outputs") for cell in notebook.cells)  # kept without them
    (first,) = [cell for cell in notebook.cells if cell.source.startswith("RUN = ")]
    first.source = f"RUN = {str(tuned[0])!r}"
    NotebookClient(notebook, timeout=300, resources={"metadata": {"path": str(tmp_path)}}).execute()
    shown = [output.data for cell in notebook.cells for output in cell.get("outputs", ()) if "data" in output]
    assert len(shown) == 7
    assert "<svg" in shown[0]["text/html"]
    assert "optim.learning_rate" in shown[1]["text/html"]
    (figure,) = [each for each in shown if "application/vnd.plotly.v1+json" in each]
    assert figure["application/vnd.plotly.v1+json"]["data"]


def test_a_corpus_of_ones_own_is_a_manifest(tmp_path: Path) -> None:
    printed = run("own_corpus.py", tmp_path)
    assert len((tmp_path / "manifest.csv").read_text(encoding="utf-8").splitlines()) > 100
    assert "other: recall" in printed


def test_an_architecture_of_ones_own_is_trained() -> None:
    assert "epoch 6: loss" in run("own_architecture.py")


@pytest.mark.slow
def test_an_architecture_of_ones_own_is_searched_once_its_file_is_copied(tmp_path: Path) -> None:
    for package in ("search", "ser_core", "spaces"):
        shutil.copytree(REPOSITORY / package, tmp_path / package, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(REPOSITORY / "examples" / "models" / "mean_gru.py", tmp_path / "ser_core" / "models")
    command = [
        sys.executable, "-m", "search.run", "--model", "mean_gru", "--data", "demo", "--trials", "2",
        "--max-epochs", "2", "--finalists", "1", "--seeds", "1", "--concurrency", "1", "--run-dir", "run",
    ]  # fmt: skip
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stdout + done.stderr
    assert (tmp_path / "run" / "result.json").exists()
