"""Where the Optuna study of a run lies: a journal file, or a database (SQLite, PostgreSQL)."""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import optuna
from filelock import FileLock, Timeout
from optuna.storages import BaseStorage, RDBStorage
from optuna.storages.journal import JournalFileBackend
from optuna.study import StudyDirection
from sqlalchemy import create_engine, inspect
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError

from search.run_folder.paths import JOURNAL_FILE
from search.study.journal import BatchedJournalBackend, check_journal, replayed
from ser_core.config import ConfigError

JOURNAL_SUFFIXES = (".journal", ".log")
"""Of a journal file that an option names; both are customary with Optuna."""
FORMS = "a journal file (a path that ends in .journal or .log), sqlite:///FILE or postgresql://USER@HOST/DATABASE"
SECRETS = ("password", "sslpassword")
"""Parameters of a PostgreSQL URL that nobody may read."""
HOME = "run_folder"
"""Attribute of a study: the folder of the run that made it."""

SQLITE_WAIT_SECONDS = 60
"""For another run that writes to the same file."""
CONNECT_SECONDS = 10
"""For a PostgreSQL server to answer."""


def absolute_storage(text: str, option: str) -> str:
    """A storage as an option names it, with files named so that it holds wherever the run is resumed from.

    Raises:
        ConfigError: neither a journal file nor a database of a known kind; a database that would be lost.
    """
    if "://" not in text:
        if not text.endswith(JOURNAL_SUFFIXES):
            raise ConfigError(f"{option} {text}: it takes {FORMS}")
        return str(Path(text).expanduser().resolve())
    try:
        url = make_url(text)
    except (ArgumentError, ValueError):  # its message may hold the password
        raise ConfigError(f"{option} {without_password(text)} is not a URL of a database; it takes {FORMS}") from None
    backend = url.get_backend_name()
    if backend not in ("sqlite", "postgresql"):
        raise ConfigError(f"{option} {without_password(text)}: {backend} is not supported; it takes {FORMS}")
    if "@" in (url.host or ""):
        raise ConfigError(f"{option}: an @ in the password of a URL is written %40")
    if backend == "postgresql":
        return text
    if not url.database or url.database == ":memory:":
        raise ConfigError(
            f"{option} {text}: a database in memory is lost with the process; name a file, sqlite:///FILE"
        )
    return _text(url.set(database=str(Path(url.database).expanduser().resolve())))


def without_password(storage: str) -> str:
    """A storage as it may be shown and kept: without the password in its URL."""
    if "://" not in storage:
        return storage
    try:
        url = make_url(storage)
    except (ArgumentError, ValueError):
        return re.sub(r"(://[^:/@]*):.*@", r"\1@", storage)
    if url.password is None and not set(SECRETS) & set(url.query):
        return storage
    return _text(url._replace(password=None).difference_update_query(SECRETS))


def check_place(storage: str, option: str, *, to_be_made: Path | None = None) -> None:
    """Refuse a file in a folder that is not there.

    Args:
        to_be_made: a folder that will be there by the time the storage is opened.

    Raises:
        ConfigError: the folder.
    """
    path = _file(storage)
    if path is None or path.parent.is_dir() or (to_be_made is not None and path.parent == to_be_made.resolve()):
        return
    raise ConfigError(f"{option} {without_password(storage)}: there is no folder {path.parent}; make it first")


def connect(storage: str, option: str) -> tuple[BaseStorage, Callable[[], None]]:
    """Open a storage, made when it is new, and a function that brings changes to disk.

    Args:
        storage: as `absolute_storage` gives it; a password that it lacks is looked for by PostgreSQL's own library, in
            PGPASSWORD and ~/.pgpass.

    Raises:
        ConfigError: a database or file that cannot be opened; what to do.
    """
    check_place(storage, option)
    if "://" not in storage:
        journal = BatchedJournalBackend(Path(storage))
        return replayed(journal, Path(storage)), journal.flush
    with _explained(storage, option):
        return RDBStorage(_text(_with_driver(storage)), engine_kwargs=_engine_options(storage)), _nothing


def connect_existing(storage: str, option: str) -> BaseStorage:
    """Open a storage to read from; nothing is written to it.

    Args:
        storage: see `connect`.

    Raises:
        ConfigError: a storage that is not there, cannot be opened, or holds no studies.
    """
    shown, path = without_password(storage), _file(storage)
    if path is not None and not path.is_file():
        raise ConfigError(f"{option} {shown}: there is no such file")
    if "://" not in storage:
        check_journal(Path(storage))
        return replayed(JournalFileBackend(storage), Path(storage))
    with _explained(storage, option):
        engine = create_engine(_with_driver(storage), **_engine_options(storage))
        holds_studies = inspect(engine).has_table("studies")
        engine.dispose()
    if not holds_studies:
        raise ConfigError(f"{option} {shown}: the database holds no studies of Optuna")
    return connect(storage, option)[0]


@contextmanager
def _explained(storage: str, option: str) -> Iterator[None]:
    """Whatever a driver raises, as an error that says what to do."""
    shown = without_password(storage)
    try:
        yield
    except ImportError as error:
        raise ConfigError(
            f"{option} {shown}: the driver of the database is not installed; for PostgreSQL: "
            f"pip install 'psycopg[binary]'"
        ) from error
    except Exception as error:  # every driver has its own
        raise ConfigError(
            f"{option} {shown}: the database cannot be opened ({_why(error)}){_advice(storage)}"
        ) from error


def _with_driver(storage: str) -> URL:
    """PostgreSQL's URL with psycopg 3, unless it names another driver."""
    url = make_url(storage)
    return url.set(drivername="postgresql+psycopg") if url.drivername == "postgresql" else url


def _engine_options(storage: str) -> dict[str, Any]:
    if make_url(storage).get_backend_name() == "sqlite":
        return {"connect_args": {"timeout": SQLITE_WAIT_SECONDS}}
    # Hours may pass between two trials: a connection that a server or firewall closed meanwhile is made anew.
    return {"connect_args": {"connect_timeout": CONNECT_SECONDS}, "pool_pre_ping": True}


def _file(storage: str) -> Path | None:
    """The file of a storage; None for a server."""
    if "://" not in storage:
        return Path(storage)
    url = make_url(storage)
    return Path(url.database or "") if url.get_backend_name() == "sqlite" else None


def _why(error: Exception) -> str:
    """What the driver said, without SQLAlchemy's frame around it."""
    return str(getattr(error, "orig", None) or error).strip()


def _advice(storage: str) -> str:
    if make_url(storage).get_backend_name() == "sqlite":
        return ""
    return ". A run keeps no password: give it in the URL each time, or in PGPASSWORD or ~/.pgpass"


@contextmanager
def sole_writer(storage: str) -> Iterator[None]:
    """Keep a journal file to this process: entries of two writers would take each other's numbers.

    Databases order their writers themselves, and the journal in a run folder is under that folder's lock.

    Raises:
        ConfigError: another process writes to the journal.
    """
    if not storage or "://" in storage:
        yield
        return
    lock = FileLock(storage + ".writer")  # a name of its own: Optuna waits for PATH.lock to go away
    try:
        lock.acquire(timeout=0)
    except Timeout as error:
        raise ConfigError(
            f"another run writes to --storage {storage}, and a journal file has one writer at a time; wait, name "
            f"another file, or give a database, which takes runs side by side"
        ) from error
    try:
        yield
    finally:
        lock.release()


def open_study(
    run_folder: Path,
    storage: str,
    *,
    is_new: bool,
    may_rebuild: bool = False,
    log: Callable[[str], None] = lambda message: None,
) -> tuple[optuna.Study, Callable[[], None]]:
    """The run's study, named like its folder when it began, and a function that brings changes to disk.

    The journal in the run folder is the run's own: where it is lost or damaged, an empty study takes its place, for the
    search to rebuild from the records.

    Args:
        storage: as `absolute_storage` gives it, or "" for a journal file in the run folder.
        is_new: the run has no trials yet, so a study of that name must not be another's.
        may_rebuild: the run was started with this storage, so a study that is not there was lost.
        log: what was lost.

    Raises:
        ConfigError: a storage that cannot be opened, that holds another study of that name, or that lacks the study
            of a run that has trials.
    """
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    backend, flush = connect(storage, "--storage") if storage else _own_journal(run_folder, log)
    name = run_folder.resolve().name if is_new else _name_of_study(backend, run_folder, storage, may_rebuild, log)
    study = optuna.create_study(study_name=name, storage=backend, direction="maximize", load_if_exists=True)
    home = str(run_folder.resolve())
    owner = study.user_attrs.get(HOME)
    foreign = owner is None and bool(study.get_trials(deepcopy=False))
    if foreign or study.direction is not StudyDirection.MAXIMIZE or (is_new and owner not in (None, home)):
        raise ConfigError(
            f"--storage {without_password(storage)} holds a study {name!r} already, that of "
            f"{owner or 'another program'}, and two in one would mix; give --run-dir another name, or --resume the "
            f"run that it belongs to"
        )
    study.set_user_attr(HOME, home)
    flush()
    return study, flush


def _own_journal(run_folder: Path, log: Callable[[str], None]) -> tuple[BaseStorage, Callable[[], None]]:
    """The journal in the run folder; a damaged one is put aside, and an empty one takes its place."""
    path = run_folder / JOURNAL_FILE
    try:
        return connect(str(path), "--storage")
    except ConfigError:
        names = (path.with_name(f"{path.name}.damaged-{number}") for number in itertools.count(1))
        aside = next(name for name in names if not name.exists())
        path.replace(aside)
        log(f"{path} is damaged: it was moved to {aside.name}")
        return connect(str(path), "--storage")


def _name_of_study(
    backend: BaseStorage, run_folder: Path, storage: str, may_rebuild: bool, log: Callable[[str], None]
) -> str:
    """The name of the study of a run that has trials.

    Raises:
        ConfigError: the storage does not hold it, and is not the one that the run was started with.
    """
    name, names = run_folder.resolve().name, optuna.get_all_study_names(backend)
    if not storage and len(names) == 1:  # the folder may have been renamed since
        return names[0]
    if name in names:
        return name
    shown = without_password(storage) or str(run_folder / JOURNAL_FILE)
    if storage and not may_rebuild:  # nothing is made in its place, and the plan keeps the storage that it names
        raise ConfigError(
            f"{shown} holds no study {name!r}, to which the records of {run_folder} belong; give the --storage that "
            f"the run was started with. Where it is not in the run folder, that folder must keep its name"
        )
    log(f"{shown} holds no study {name!r} any more: it is rebuilt")
    return name


def _text(url: URL) -> str:
    return url.render_as_string(hide_password=False)


def _nothing() -> None:
    """A database writes at once."""
