"""Studies as any other program opens them."""

from __future__ import annotations

from pathlib import Path

import optuna
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend


def study_of(folder: Path, storage: str = "") -> optuna.Study:
    """The study of the run in `folder` as Optuna's own storages read it; `storage` as `open_study` takes it."""
    if "://" in storage:
        return optuna.load_study(study_name=folder.name, storage=storage.replace("postgresql:", "postgresql+psycopg:"))
    journal = JournalStorage(JournalFileBackend(storage or str(folder / "study.journal")))
    return optuna.load_study(study_name=folder.name, storage=journal)
