"""Where a study may lie: what the option takes, that nobody reads a password, and that no two studies mix."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import optuna
import pytest
from optuna.exceptions import StorageInternalError
from rich.console import Console
from sqlalchemy import create_engine, make_url, text
from typer.testing import CliRunner

from search.driver.locations import shown_location
from search.driver.options import Options
from search.driver.planning import prepare
from search.run import app
from search.run_folder.plan import SearchPlan
from search.study.storage import absolute_storage, check_place, connect, open_study, sole_writer, without_password
from ser_core.config import ConfigError

HERE = Path.cwd()


@pytest.mark.parametrize(
    ("given", "resolved"),
    [
        ("study.journal", str(HERE / "study.journal")),
        ("~/a.log", str(Path.home() / "a.log")),
        ("/tmp/a.journal", "/tmp/a.journal"),
        ("sqlite:///a.db", f"sqlite:///{HERE}/a.db"),
        ("sqlite:////tmp/a.db", "sqlite:////tmp/a.db"),
        ("postgresql://u:p@h:5/d?sslmode=require", "postgresql://u:p@h:5/d?sslmode=require"),
    ],
)
def test_files_are_named_absolutely(given: str, resolved: str) -> None:
    assert absolute_storage(given, "--storage") == resolved


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (
            "study.db",
            r"--storage study\.db: it takes a journal file \(a path that ends in \.journal or \.log\), sqlite",
        ),
        ("sqlite://", "in memory is lost with the process; name a file"),
        ("sqlite:///:memory:", "in memory is lost with the process; name a file"),
        ("mysql://u:s3cret@h/d", "--storage mysql://u@h/d: mysql is not supported"),
        ("postgresql://u:s3cret@h:port/d", "--storage postgresql://u@h:port/d is not a URL of a database"),
        ("postgresql://u:s3cret@x@h/d", "an @ in the password of a URL is written %40"),
    ],
)
def test_other_storages_are_refused_without_a_look_at_the_password(given: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message) as caught:
        absolute_storage(given, "--storage")
    assert "s3cret" not in str(caught.value)


@pytest.mark.parametrize(
    ("storage", "shown"),
    [
        ("postgresql://u:p%40w@h:5/d", "postgresql://u@h:5/d"),
        ("postgresql+psycopg2://u:p@/d?host=%2Ftmp", "postgresql+psycopg2://u@/d?host=%2Ftmp"),
        ("postgresql://h/d?password=p&sslpassword=p&user=u", "postgresql://h/d?user=u"),
        ("postgresql://u@h/d", "postgresql://u@h/d"),
        ("sqlite:////tmp/a.db", "sqlite:////tmp/a.db"),
        ("/tmp/a.journal", "/tmp/a.journal"),
    ],
)
def test_a_storage_is_shown_without_its_password(storage: str, shown: str) -> None:
    assert without_password(storage) == shown


def plan_with_storage(url: str, cache: Path) -> SearchPlan:
    return prepare(Options(model="mlp", data="demo", storage=url), None, cache, Console(quiet=True))[0]


def test_a_plan_keeps_no_password(cache: Path, tmp_path: Path) -> None:
    url = "postgresql://u:s3cr%40t@h/d"
    plan = plan_with_storage(url, cache)
    plan.save(tmp_path)
    assert "s3cr" not in (tmp_path / "plan.json").read_text()
    assert plan.storage == "postgresql://u@h/d"
    assert plan.command == "ser search --model mlp --data demo --storage postgresql://u@h/d"
    both = Options(model="mlp", storage=url, warm_start=f"{url}#x").command(shown_location)
    assert both == "ser search --model mlp --warm-start 'postgresql://u@h/d#x' --storage postgresql://u@h/d"
    assert plan_with_storage("sqlite:///a.db", cache).storage == f"sqlite:///{HERE}/a.db"


def test_postgresql_wants_the_password_each_time(
    postgres: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, cache: Path
) -> None:
    kept = without_password(postgres)
    with pytest.raises(ConfigError, match=r"cannot be opened .*password.*PGPASSWORD or ~/\.pgpass"):
        connect(kept, "--storage")
    with pytest.raises(ConfigError, match="password authentication failed") as caught:
        connect(postgres.replace("s3cret", "wr0ng"), "--storage")
    assert "wr0ng" not in str(caught.value)
    monkeypatch.setenv("PGPASSWORD", "s3cret@word")
    study, _ = open_study(tmp_path, kept, is_new=True)
    # A server that restarts between two trials ends its connections; the study makes new ones.
    admin = create_engine(make_url(postgres).set(drivername="postgresql+psycopg"), isolation_level="AUTOCOMMIT")
    with admin.connect() as connection:
        ours = "datname = current_database() AND pid <> pg_backend_pid()"
        ended = connection.execute(text(f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE {ours}")).all()
    assert ended
    assert study.ask().number == 0
    with admin.connect() as connection:
        connection.execute(text("DROP TABLE trials CASCADE"))
    admin.dispose()
    with pytest.raises(StorageInternalError) as failed:
        study.ask()
    options = ["--model", "mlp", "--data", "demo", "--cache-dir", str(cache), "--run-dir", str(tmp_path / "run")]
    check_message_of(failed.value, options, monkeypatch)


def check_message_of(error: StorageInternalError, options: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """A database that fails in the middle of a search ends it with an error that says what to do."""

    def fail(*args: Any, **named: Any) -> None:
        raise error

    monkeypatch.setattr("search.driver.one_run.execute", fail)
    result = CliRunner(env={"COLUMNS": "200"}).invoke(app, options)
    assert result.exit_code == 2
    assert 'the database of the study failed: relation "trials" does not exist' in result.output
    assert "What was done is kept; mend that, then --resume" in " ".join(result.output.split())


@pytest.mark.parametrize(
    ("storage", "message"),
    [
        ("postgresql://u@127.0.0.1:1/d", r"cannot be opened .*[Cc]onnection refused"),
        ("postgresql+pg8000://u@h/d", r"driver of the database is not installed.*pip install 'psycopg\[binary\]'"),
        ("sqlite:////nowhere/at/all/x.db", "there is no folder /nowhere/at/all; make it first"),
        ("/nowhere/at/all/x.journal", "there is no folder /nowhere/at/all; make it first"),
    ],
)
def test_a_storage_that_cannot_be_opened_says_why(storage: str, message: str) -> None:
    with pytest.raises(ConfigError, match=f"(?s)--storage .*{message}"):
        connect(storage, "--storage")


def test_a_storage_may_lie_in_the_run_folder_before_that_is_made(tmp_path: Path) -> None:
    for storage in (f"sqlite:///{tmp_path}/run/a.db", f"{tmp_path}/run/a.journal"):
        check_place(storage, "--storage", to_be_made=tmp_path / "run")
        with pytest.raises(ConfigError, match=f"there is no folder {tmp_path}/run; make it first"):
            check_place(storage, "--storage", to_be_made=tmp_path / "other")


def test_a_file_that_is_no_journal_is_left_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "other.log"
    for content in ("12:00 started\n12:01 still at it", "no newline", '["a list"]\n'):
        path.write_text(content)
        with pytest.raises(ConfigError, match=r"other\.log is not a journal of Optuna"):
            connect(str(path), "--storage")
        assert path.read_text() == content


def test_a_journal_has_one_writer_and_a_database_many(tmp_path: Path) -> None:
    journal = str(tmp_path / "study.journal")
    with sole_writer(journal):
        with pytest.raises(ConfigError, match="has one writer at a time"), sole_writer(journal):
            pass
        with sole_writer(f"sqlite:///{tmp_path}/a.db"), sole_writer(f"sqlite:///{tmp_path}/a.db"), sole_writer(""):
            pass
        assert not Path(journal + ".lock").exists()  # for which Optuna's own writers would wait
    with sole_writer(journal):
        pass


def test_a_study_of_another_is_not_taken_over(tmp_path: Path) -> None:
    journal = str(tmp_path / "study.journal")
    for name in ("a", "b"):
        (tmp_path / name / "run").mkdir(parents=True)
    open_study(tmp_path / "a" / "run", journal, is_new=True)
    open_study(tmp_path / "a" / "run", journal, is_new=True)  # killed before its first trial
    with pytest.raises(ConfigError, match=r"holds a study 'run' already, that of .*/a/run, and two in one would mix"):
        open_study(tmp_path / "b" / "run", journal, is_new=True)
    backend, flush = connect(journal, "--storage")
    optuna.create_study(storage=backend, study_name="notebook").add_trial(optuna.trial.create_trial(value=1.0))
    flush()
    with pytest.raises(ConfigError, match="holds a study 'notebook' already, that of another program"):
        open_study(tmp_path / "notebook", journal, is_new=True)


@pytest.mark.slow
def test_a_run_in_postgresql_from_its_start_to_its_resumption(tmp_path: Path, cache: Path, postgres: str) -> None:
    def run(*options: object, **environment: str) -> str:
        command = [sys.executable, "-m", "search.run", "--cache-dir", cache, "--trials", 6, *options]
        environment = {**os.environ, "RAY_worker_niceness": "0", **environment}
        done = subprocess.run(list(map(str, command)), capture_output=True, text=True, env=environment, timeout=600)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout + done.stderr

    options = [
        "--model",
        "mlp",
        "--data",
        "demo",
        "--max-epochs",
        3,
        "--finalists",
        1,
        "--seeds",
        1,
        "--storage",
        postgres,
    ]
    output = run(*options, "--run-dir", tmp_path / "one")
    output += run(*options, "--run-dir", tmp_path / "two", "--warm-start", f"{postgres}#one")
    output += run("--resume", tmp_path / "two", "--trials", 7, "--allow-second-test-read", PGPASSWORD="s3cret@word")
    result = json.loads((tmp_path / "two" / "result.json").read_text())
    assert sum(result["search"]["trials"].values()) == 7
    assert result["warm_start"]["source"] == f"{without_password(postgres)}#one"
    study = optuna.load_study(study_name="two", storage=postgres.replace("postgresql:", "postgresql+psycopg:"))
    assert [trial.user_attrs.get("origin") for trial in study.trials].count("warm") >= 1
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert "s3cret" not in output
    assert [path for path in files if b"s3cret" in path.read_bytes()] == []
