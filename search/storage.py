"""The Optuna study of a run: a journal file in its folder, or a database."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import optuna
from optuna.storages import JournalStorage, get_storage

from search.journal import BatchedJournalBackend
from ser_core.config import ConfigError

JOURNAL_FILE = "study.journal"
HOME = "run_folder"
"""Attribute of a study: the folder of the run that made it."""


def open_study(run_folder: Path, storage: str, *, is_new: bool) -> tuple[optuna.Study, Callable[[], None]]:
    """The run's study, named like its folder, and a function that brings changes to disk.

    Args:
        storage: a database URL, or "" for a journal file in the run folder.
        is_new: the run has no trials yet, so a study of that name must not be another run's.

    Raises:
        ConfigError: a database that cannot be opened, or that holds another run's study of that name.
    """
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    flush: Callable[[], None] = _nothing
    if storage:
        try:
            backend = get_storage(storage)
        except Exception as error:  # every database driver has its own
            raise ConfigError(
                f"--storage {storage}: the study cannot be opened ({error}); it takes a URL such as "
                f"sqlite:///study.db or postgresql://user@host/name"
            ) from error
    else:
        journal = BatchedJournalBackend(run_folder / JOURNAL_FILE)
        backend, flush = JournalStorage(journal), journal.flush
    study = optuna.create_study(study_name=run_folder.name, storage=backend, direction="maximize", load_if_exists=True)
    home = str(run_folder.resolve())
    if is_new and study.user_attrs.get(HOME, home) != home:
        raise ConfigError(
            f"--storage {storage} holds a study {run_folder.name!r} already, that of {study.user_attrs[HOME]}, and two "
            f"runs in one study would mix; give --run-dir another name, or --resume the run that it belongs to"
        )
    study.set_user_attr(HOME, home)
    flush()
    return study, flush


def _nothing() -> None:
    """A database writes at once."""
