"""A search that died anywhere, or whose files lost something, goes on as if nothing had happened."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any
from wsgiref.util import setup_testing_defaults

import optuna
import optuna_dashboard
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from optuna.storages import BaseStorage

from search.run_folder.records import TrialState
from search.run_folder.records_reader import read_records
from search.run_folder.records_writer import RecordWriter
from search.study.asha import Asha
from search.study.search import Search
from search.study.storage import open_study
from ser_core.config import ConfigError
from tests.search.studies import study_of
from tests.search.study.searches import (
    MAX_EPOCHS,
    check_agreement,
    chunks,
    finish,
    make_search,
)


@pytest.fixture(params=["journal", "sqlite", "postgresql"])
def storage(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Each kind of storage as `open_study` takes it."""
    if request.param == "postgresql":
        return str(request.getfixturevalue("postgres"))
    return f"sqlite:///{tmp_path / 'study.db'}" if request.param == "sqlite" else str(tmp_path / "shared.journal")


class Killed(BaseException):
    """Stands for kill -9: nothing after it runs."""


def kill_after(search: Search, writer: RecordWriter, steps: int) -> None:
    """Die just before or just after the n-th time that the search touches a disk."""
    count = 0

    def step() -> None:
        nonlocal count
        count += 1
        if count > steps:
            raise Killed

    def wrapped(function: Callable[..., Any]) -> Callable[..., Any]:
        def call(*args: Any, **kwargs: Any) -> Any:
            step()
            result = function(*args, **kwargs)
            step()
            return result

        return call

    writer._append = wrapped(writer._append)  # type: ignore[method-assign]
    study = search._open.study
    search._open.flush = wrapped(search._open.flush)
    study.tell = wrapped(study.tell)  # type: ignore[method-assign]
    study.ask = wrapped(study.ask)  # type: ignore[method-assign]
    for name in ("create_new_trial", "set_trial_param", "set_trial_intermediate_value", "set_trial_state_values"):
        setattr(study._storage, name, wrapped(getattr(study._storage, name)))


def test_verdicts_of_a_rung_stand_after_a_kill(tmp_path: Path) -> None:
    """The second trial came first, when there was nothing to judge by; later it would have been ended."""
    search, writer = make_search(tmp_path / "run", trials=2, asha=Asha(MAX_EPOCHS, 3, 2))
    first, second = search.next_job(), search.next_job()
    assert first is not None
    assert second is not None
    assert search.report(next(chunks(second, lambda job, epoch: 0.5)))
    assert search.report(next(chunks(first, lambda job, epoch: 0.9)))
    writer.close()
    again, writer = make_search(tmp_path / "run", trials=2, asha=Asha(MAX_EPOCHS, 3, 2))
    assert [job.name for job in (again.next_job(), again.next_job()) if job] == [first.name, second.name]
    assert {trial.state for trial in writer.records.trials.values()} == {TrialState.RUNNING}


@settings(deadline=None, max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(kills=st.lists(st.integers(0, 120), min_size=1, max_size=4), grace=st.sampled_from([3, None]))
def test_killed_anywhere_and_resumed_ends_like_an_unbroken_search(
    kills: list[int], grace: int | None, tmp_path_factory: pytest.TempPathFactory
) -> None:
    def make(folder: Path) -> tuple[Search, RecordWriter]:
        return make_search(folder, asha=Asha(MAX_EPOCHS, grace, 3))

    folder = tmp_path_factory.mktemp("killed") / "run"
    for steps in kills:
        search, writer = make(folder)
        kill_after(search, writer, steps)
        try:
            finish(search, writer)
        except Killed:
            writer.close()
    search, writer = make(folder)
    finish(search, writer)
    check_agreement(folder, 12)
    unbroken = tmp_path_factory.mktemp("unbroken") / "run"
    whole, whole_writer = make(unbroken)
    finish(whole, whole_writer)
    assert search._asha.rungs == whole._asha.rungs
    ours, theirs = study_of(folder).trials, study_of(unbroken).trials
    assert [(t.params, t.state, t.value) for t in ours] == [(t.params, t.state, t.value) for t in theirs]


def test_killed_anywhere_and_resumed_with_every_storage(tmp_path: Path, storage: str) -> None:
    folder, unbroken, random = tmp_path / "killed", tmp_path / "unbroken", Random(1)
    options: dict[str, Any] = {"warm": [{"optim.learning_rate": 5e-3}], "trials": 5}
    for _ in range(4):
        search, writer = make_search(folder, storage, **options)
        kill_after(search, writer, random.randrange(40))
        with pytest.raises(Killed):
            finish(search, writer)
        writer.close()
    for run in (folder, unbroken):  # two runs in one storage
        finish(*make_search(run, storage, **options))
        check_agreement(run, 5, storage)
    ours, theirs = study_of(folder, storage).trials, study_of(unbroken, storage).trials
    assert [(t.params, t.state, t.value) for t in ours] == [(t.params, t.state, t.value) for t in theirs]
    assert optuna_dashboard_lists(study_of(folder, storage)._storage) == ["killed", "unbroken"]


def optuna_dashboard_lists(storage: BaseStorage) -> list[str]:
    """The studies that optuna-dashboard serves."""
    environment: dict[str, Any] = {"PATH_INFO": "/api/studies", "REQUEST_METHOD": "GET"}
    setup_testing_defaults(environment)
    status: list[str] = []
    body = b"".join(optuna_dashboard.wsgi(storage)(environment, lambda code, headers, *_: status.append(code)))
    assert status == ["200 OK"], body
    return sorted(study["study_name"] for study in json.loads(body)["study_summaries"])


def same_trials(one: optuna.Study, other: optuna.Study) -> bool:
    def content(study: optuna.Study) -> list[Any]:
        return [(t.params, t.distributions, t.state, t.value, t.intermediate_values) for t in study.trials]

    return content(one) == content(other)


@settings(deadline=None, max_examples=12, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(study=st.floats(0, 1), records=st.just(1.0) | st.floats(0, 1), grace=st.sampled_from([3, None]))
def test_a_power_cut_at_any_byte_of_study_and_records_costs_nothing_that_was_reported(
    study: float, records: float, grace: int | None, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """`study` and `records` are the shares of their bytes that reached the disk."""

    def search_to_the_end(folder: Path, trials: int, log: Callable[[str], None] = print) -> None:
        search, writer = make_search(folder, asha=Asha(MAX_EPOCHS, grace, 3), trials=trials, log=log)
        finish(search, writer)
        writer.close()

    folder, unbroken = (tmp_path_factory.mktemp(name) / "run" for name in ("cut", "unbroken"))
    search_to_the_end(folder, 12)
    for name, share in (("study.journal", study), ("records.jsonl", records)):
        whole = (folder / name).read_bytes()
        (folder / name).write_bytes(whole[: round(share * len(whole))])
    messages: list[str] = []
    search_to_the_end(folder, 14, messages.append)
    check_agreement(folder, 14)
    search_to_the_end(unbroken, 12)
    search_to_the_end(unbroken, 14)
    assert same_trials(study_of(folder), study_of(unbroken))
    assert all("rebuilt from the records" in message for message in messages)


@pytest.mark.parametrize(
    "damage",
    [b"\0" * 40, b"{}\n{}\n", b"\xff\xfe", b'{"op_code": 5}\n', b"[" * 5000 + b"\n"],
    ids=["zeros", "no entries", "no text", "half an entry", "nested without end"],
)
@pytest.mark.parametrize("place", [0.0, 0.3, 0.7])
def test_a_journal_that_is_damaged_in_its_middle_is_put_aside_and_rebuilt(
    damage: bytes, place: float, tmp_path: Path
) -> None:
    finish(*make_search(tmp_path / "whole"))
    finish(*make_search(tmp_path / "run"))
    journal, messages = tmp_path / "run" / "study.journal", list[str]()
    content = journal.read_bytes()
    start = content.rfind(b"\n", 0, round(place * len(content))) + 1
    broken = content[:start] + damage + content[start + len(damage) :]
    journal.write_bytes(broken)
    study, _ = open_study(tmp_path / "run", "", is_new=False, log=messages.append)
    assert study.trials == []
    assert journal.with_name("study.journal.damaged-1").read_bytes() == broken
    finish(*make_search(tmp_path / "run", log=messages.append))
    check_agreement(tmp_path / "run", 12)
    assert same_trials(study_of(tmp_path / "run"), study_of(tmp_path / "whole", str(tmp_path / "whole/study.journal")))
    assert messages[0].endswith("study.journal is damaged: it was moved to study.journal.damaged-1")
    assert messages[-1] == "The Optuna study had lost 12 trials, or part of them: rebuilt from the records"


def test_a_damaged_journal_that_an_option_names_is_left_as_it_is(tmp_path: Path) -> None:
    """It may hold the studies of other runs."""
    journal = tmp_path / "shared.journal"
    finish(*make_search(tmp_path / "run", str(journal)))
    lines = journal.read_bytes().splitlines(keepends=True)
    journal.write_bytes(b"".join([*lines[:6], b"broken\n", *lines[7:]]))
    before = journal.read_bytes()
    with pytest.raises(ConfigError, match=r"shared\.journal is damaged \(line 7 is no entry\); .*move it away"):
        make_search(tmp_path / "run", str(journal), may_rebuild=True)
    assert journal.read_bytes() == before
    journal.unlink()
    finish(*make_search(tmp_path / "run", str(journal), may_rebuild=True))
    check_agreement(tmp_path / "run", 12, str(journal))


def test_a_lost_study_is_rebuilt_where_the_run_began_and_nowhere_else(tmp_path: Path, storage: str) -> None:
    finish(*make_search(tmp_path / "whole", trials=5))
    finish(*make_search(tmp_path / "run", storage, trials=3))
    optuna.delete_study(study_name="run", storage=study_of(tmp_path / "run", storage)._storage)
    with pytest.raises(ConfigError, match=r"holds no study 'run'.*--storage that the run was started with"):
        make_search(tmp_path / "run", storage, trials=5)
    finish(*make_search(tmp_path / "run", storage, may_rebuild=True, trials=5))
    check_agreement(tmp_path / "run", 5, storage)
    assert same_trials(study_of(tmp_path / "run", storage), study_of(tmp_path / "whole"))


def test_a_journal_or_a_database_that_was_deleted_is_rebuilt(tmp_path: Path) -> None:
    for number, file in enumerate(("run-0/study.journal", "study.db")):
        storage = f"sqlite:///{tmp_path / file}" if file.endswith(".db") else ""
        finish(*make_search(tmp_path / f"run-{number}", storage, trials=4))
        (tmp_path / file).unlink()
        finish(*make_search(tmp_path / f"run-{number}", storage, may_rebuild=bool(storage), trials=6))
        check_agreement(tmp_path / f"run-{number}", 6, storage)


def test_a_renamed_run_keeps_its_study(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    finish(*make_search(tmp_path / "run", trials=3))
    (tmp_path / "run").rename(tmp_path / "renamed")
    monkeypatch.chdir(tmp_path / "renamed")
    finish(*make_search(Path(), trials=5))  # as `--resume .`
    study = study_of(tmp_path / "run", str(tmp_path / "renamed" / "study.journal"))
    assert [trial.state.is_finished() for trial in study.trials] == [True] * 5


def test_what_the_records_lost_comes_back_from_the_study(tmp_path: Path) -> None:
    """A power cut may leave the records behind the study, and so does who mends them by hand."""
    finish(*make_search(tmp_path / "run", trials=8))
    path = tmp_path / "run" / "records.jsonl"
    whole, lines = read_records(path).trials, path.read_text().splitlines(keepends=True)
    third = next(row for row, line in enumerate(lines) if '"trial": 3' in line and '"epochs"' in line)
    path.write_text("".join(lines[: third + 1]))
    finish(*make_search(tmp_path / "run", trials=10))
    check_agreement(tmp_path / "run", 10)
    again = read_records(path).trials
    for number, trial in whole.items():
        assert [epoch.score("uar") for epoch in again[number].epochs] == [epoch.score("uar") for epoch in trial.epochs]
        assert (again[number].state, again[number].params) == (trial.state, trial.params)
    assert again[9].origin == "sampler"
