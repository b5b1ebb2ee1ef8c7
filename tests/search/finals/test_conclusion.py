"""What a run that has ended leaves behind."""

from __future__ import annotations

from pathlib import Path

from search.finals.conclusion import discard_others
from search.run_folder.paths import FINAL_FOLDER, model_folder


def test_refits_that_lost_are_removed_and_nothing_else(tmp_path: Path) -> None:
    winner = [model_folder(3, seed) for seed in (1, 2)]
    for name in (*winner, model_folder(0, 1)):
        (tmp_path / name).mkdir(parents=True)
        (tmp_path / name / "model.safetensors").touch()
    (tmp_path / FINAL_FOLDER / "ensemble.json").touch()
    discard_others(tmp_path, winner)
    left = sorted(path.relative_to(tmp_path).as_posix() for path in (tmp_path / FINAL_FOLDER).iterdir())
    assert left == sorted([f"{FINAL_FOLDER}/ensemble.json", *winner])
