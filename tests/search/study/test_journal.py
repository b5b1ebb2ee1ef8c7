"""The batched journal is the file that Optuna itself reads and writes."""

import errno
from pathlib import Path

import optuna
import pytest
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend

from search.run_folder.append_file import AppendFile
from search.study.journal import BatchedJournalBackend


def objective(trial: optuna.Trial) -> float:
    x = trial.suggest_float("x", 0, 1)
    trial.suggest_categorical("c", ("a", "b"))
    trial.report(x, step=1)
    trial.set_user_attr("reason", "none")
    if trial.number % 3 == 2:
        raise optuna.TrialPruned
    return x


def test_optuna_reads_what_was_flushed_as_its_own(tmp_path: Path) -> None:
    journal = BatchedJournalBackend(tmp_path / "study.journal")
    study = optuna.create_study(storage=JournalStorage(journal), study_name="s", direction="maximize")
    study.optimize(objective, n_trials=7)
    journal.flush()
    read = optuna.load_study(
        study_name="s", storage=JournalStorage(JournalFileBackend(str(tmp_path / "study.journal")))
    )
    assert read.trials == study.trials
    assert [trial.state.name for trial in read.trials].count("PRUNED") == 2


def test_goes_on_with_a_file_that_optuna_wrote(tmp_path: Path) -> None:
    path = tmp_path / "study.journal"
    optuna.create_study(storage=JournalStorage(JournalFileBackend(str(path))), study_name="s").optimize(objective, 3)
    journal = BatchedJournalBackend(path)
    study = optuna.load_study(study_name="s", storage=JournalStorage(journal))
    study.optimize(objective, n_trials=2)
    journal.flush()
    assert len(optuna.load_study(study_name="s", storage=JournalStorage(JournalFileBackend(str(path)))).trials) == 5


def test_nothing_is_in_the_file_before_the_flush(tmp_path: Path) -> None:
    journal = BatchedJournalBackend(tmp_path / "study.journal")
    optuna.create_study(storage=JournalStorage(journal), study_name="s")
    assert (tmp_path / "study.journal").read_bytes() == b""
    journal.flush()
    once = (tmp_path / "study.journal").read_bytes()
    journal.flush()
    assert once == (tmp_path / "study.journal").read_bytes() != b""


def test_a_torn_last_line_is_cut_off(tmp_path: Path) -> None:
    path = tmp_path / "lines"
    path.write_text('{"whole": 1}\n{"to')
    file = AppendFile(path)
    file.append(['{"next": 2}'])
    assert path.read_text() == '{"whole": 1}\n{"next": 2}\n'


def test_a_refused_write_is_taken_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "lines"
    file = AppendFile(path)
    file.append(["one"])

    class FullDisk:
        """Takes three bytes and then no more, as a full disk does."""

        def __init__(self, inner: object) -> None:
            self.inner, self.room = inner, 3

        def write(self, data: bytes) -> int:
            if not self.room:
                raise OSError(errno.ENOSPC, "No space left on device")
            taken = self.inner.write(data[: self.room])  # type: ignore[attr-defined]
            self.room -= taken
            return taken

        def fileno(self) -> int:
            return self.inner.fileno()  # type: ignore[attr-defined]

    whole = file._file
    monkeypatch.setattr(file, "_file", FullDisk(whole))
    with pytest.raises(OSError, match="No space left"):
        file.append(["two"])
    assert path.read_text() == "one\n"
    monkeypatch.setattr(file, "_file", whole)
    file.append(["three"])
    assert path.read_text() == "one\nthree\n"
