from __future__ import annotations

import json
import math
import os
from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from search.run_folder.records import GraceChoice, Phase, RunRecords, TrialState
from search.run_folder.records_reader import read_records
from search.run_folder.records_writer import RecordWriter
from ser_core.features.placement import Placement, Where
from ser_core.training.report import EpochReport


def report(epoch: int, val_uar: float = 0.5, seconds: float = 2.0) -> EpochReport:
    return EpochReport(
        epoch=epoch,
        train_loss=1.0,
        val_loss=1.2,
        scores={"uar": val_uar, "war": 0.6},
        learning_rate=1e-3,
        seconds=seconds,
    )


def seconds_from(start: float) -> Callable[[], float]:
    ticks: Iterator[int] = count()
    return lambda: start + next(ticks)


def write_run(path: Path) -> RunRecords:
    """A short run with every kind of event; the records as the writer holds them."""
    writer = RecordWriter(path, clock=seconds_from(100.0))
    writer.session()
    writer.trial_started(0, {"optim.learning_rate": 1e-3, "optim.schedule": "cosine"}, "first")
    writer.epochs(0, [report(1, 0.4), report(2, 0.7)], worker="node/1", setup_seconds=0.5)
    writer.epochs(0, [report(3, 0.6)], worker="node/2", setup_seconds=0.25)
    writer.trial_ended(0, TrialState.COMPLETE, "")
    writer.trial_started(1, {"optim.learning_rate": 0.9}, "sampler")
    writer.trial_ended(1, TrialState.FAIL, "diverged: the loss became nan")
    writer.final_started(Phase.FINALIST, 0, 7)
    writer.final_epochs(Phase.FINALIST, 0, 7, [report(1, 0.65)], worker="node/1", setup_seconds=0.0)
    writer.final_ended(Phase.FINALIST, 0, 7, "")
    writer.final_started(Phase.REFIT, 0, 8)
    writer.final_epochs(Phase.REFIT, 0, 8, [report(1, math.nan)], worker="node/1", setup_seconds=0.0)
    writer.close()
    return writer.records


def test_why_a_run_trained_in_fp32_is_kept_beyond_its_first_report(tmp_path: Path) -> None:
    note = "trained in fp32, since in bf16 layer conv is off by 98 %"
    writer = RecordWriter(tmp_path / "records.jsonl")
    writer.trial_started(0, {}, "first")
    writer.final_started(Phase.REFIT, 0, 1)
    for epoch, noted in ((1, {"precision_note": note}), (2, {})):
        writer.epochs(0, [report(epoch)], worker="w", setup_seconds=0.5, **noted)
        writer.final_epochs(Phase.REFIT, 0, 1, [report(epoch)], worker="w", setup_seconds=0.5, **noted)
    writer.close()
    records = read_records(tmp_path / "records.jsonl")
    assert records == writer.records
    assert records.precision_notes() == [note, note]
    assert records.final(Phase.REFIT, 0, 1).precision_note == note
    assert write_run(tmp_path / "other.jsonl").precision_notes() == []


def test_where_clips_came_from_is_kept_beyond_the_first_report(tmp_path: Path) -> None:
    mapped = Placement(where=Where.MAPPED, size_bytes=3 * 2**30, room_bytes=2**30)
    writer = RecordWriter(tmp_path / "records.jsonl")
    writer.trial_started(0, {}, "first")
    writer.final_started(Phase.REFIT, 0, 1)
    for epoch, placement in ((1, mapped), (2, None)):
        writer.epochs(0, [report(epoch)], worker="w", setup_seconds=0.5, placement=placement)
        writer.final_epochs(Phase.REFIT, 0, 1, [report(epoch)], worker="w", setup_seconds=0.5, placement=placement)
    writer.close()
    records = read_records(tmp_path / "records.jsonl")
    assert records == writer.records
    assert records.trials[0].placement == records.finals[0].placement == mapped
    assert write_run(tmp_path / "other.jsonl").trials[0].placement is None  # an early version kept none


def test_a_reader_sees_what_the_writer_holds(tmp_path: Path) -> None:
    written, read = write_run(tmp_path / "records.jsonl"), read_records(tmp_path / "records.jsonl")

    # NaN differs from itself, so the refit without validation is compared on its own.
    assert read.trials == written.trials
    assert read.finals[0] == written.finals[0]
    assert read.sessions == written.sessions
    assert repr(read) == repr(written)

    trial = read.trials[0]
    assert (trial.state, trial.origin, trial.started, trial.ended) == (TrialState.COMPLETE, "first", 101.0, 104.0)
    assert (trial.value, trial.best_epoch, trial.train_seconds, trial.setup_seconds) == (0.7, 2, 6.0, 0.75)
    assert trial.worker == "node/2"
    assert trial.params == {"optim.learning_rate": 1e-3, "optim.schedule": "cosine"}
    failed = read.trials[1]
    assert (failed.state, failed.reason) == (TrialState.FAIL, "diverged: the loss became nan")
    assert math.isnan(failed.value)
    assert failed.best_epoch == 0
    assert read.seconds == 11.0


def test_finals_are_found_by_phase_trial_and_seed(tmp_path: Path) -> None:
    records = write_run(tmp_path / "records.jsonl")
    finalist, refit = records.final(Phase.FINALIST, 0, 7), records.final(Phase.REFIT, 0, 8)
    assert finalist is not None
    assert (finalist.value, finalist.best_epoch, finalist.ended) == (0.65, 1, 109.0)
    assert refit is not None
    assert math.isnan(refit.value)
    assert (refit.best_epoch, refit.ended) == (0, None)
    assert records.final(Phase.REFIT, 0, 7) is None


def test_numbers_that_are_not_finite_are_null_on_disk_and_nan_in_records(tmp_path: Path) -> None:
    path = tmp_path / "records.jsonl"
    writer = RecordWriter(path)
    writer.trial_started(0, {}, "sampler")
    diverged = EpochReport(
        epoch=1,
        train_loss=math.inf,
        val_loss=math.nan,
        scores={"uar": math.nan, "war": 0.1},
        learning_rate=1e-3,
        seconds=1.0,
    )
    writer.epochs(0, [diverged], worker="w", setup_seconds=0.0)
    writer.close()

    on_disk = json.loads(path.read_text().splitlines()[1])["reports"][0]
    assert [on_disk[name] for name in ("train_loss", "val_loss", "val_uar")] == [None, None, None]
    for records in (writer.records, read_records(path)):
        (epoch,) = records.trials[0].epochs
        assert math.isnan(epoch.train_loss)
        assert math.isnan(epoch.score("uar"))
        assert epoch.score("war") == 0.1


def test_epochs_trained_again_after_a_lost_checkpoint_keep_their_first_report(tmp_path: Path) -> None:
    path = tmp_path / "records.jsonl"
    writer = RecordWriter(path)
    writer.trial_started(0, {}, "sampler")
    first = [report(1, 0.1), report(2, 0.2), report(3, 0.9), report(4, 0.3)]
    writer.epochs(0, first, worker="a", setup_seconds=0.0)
    again = [report(3, 0.25), report(4, 0.35), report(5, 0.5)]
    writer.epochs(0, again, worker="b", setup_seconds=0.0)
    writer.close()
    records = read_records(path)
    trial = records.trials[0]
    assert [epoch.epoch for epoch in trial.epochs] == [1, 2, 3, 4, 5]
    assert [epoch.score("uar") for epoch in trial.epochs] == [0.1, 0.2, 0.9, 0.3, 0.5]
    assert trial.value == 0.9
    assert records.arrivals == [(0, 4), (0, 5)]


def test_the_earliest_of_equal_epochs_is_the_best(tmp_path: Path) -> None:
    writer = RecordWriter(tmp_path / "records.jsonl")
    writer.trial_started(0, {}, "sampler")
    reports = [report(1, 0.2), report(2, 0.8), report(3, math.nan), report(4, 0.8)]
    writer.epochs(0, reports, worker="a", setup_seconds=0.0)
    writer.close()
    assert writer.records.trials[0].best_epoch == 2


def test_a_final_run_started_again_keeps_its_epochs_and_is_open(tmp_path: Path) -> None:
    path = tmp_path / "records.jsonl"
    write_run(path)
    writer = RecordWriter(path)
    writer.final_ended(Phase.REFIT, 0, 8, "worker lost")
    writer.final_started(Phase.REFIT, 0, 8)
    writer.close()
    finals = read_records(path).finals
    assert [(one.phase, one.trial, one.seed) for one in finals] == [(Phase.FINALIST, 0, 7), (Phase.REFIT, 0, 8)]
    assert [epoch.epoch for epoch in finals[1].epochs] == [1]
    assert (finals[1].ended, finals[1].reason) == (None, "")


def test_wall_time_counts_sessions_without_the_pause_between_them(tmp_path: Path) -> None:
    path = tmp_path / "records.jsonl"
    for start in (100.0, 5_000.0):
        writer = RecordWriter(path, clock=seconds_from(start))
        writer.session()
        writer.trial_started(0, {}, "sampler")
        writer.close()
    assert read_records(path).seconds == 2.0


def test_a_missing_file_is_an_empty_run(tmp_path: Path) -> None:
    assert read_records(tmp_path / "records.jsonl") == RunRecords()


def test_a_torn_last_line_is_cut_off_before_writing_goes_on(tmp_path: Path) -> None:
    path = tmp_path / "records.jsonl"
    write_run(path)
    whole = path.read_bytes()
    path.write_bytes(whole + b'{"event": "trial_start", "tri')

    assert len(read_records(path).trials) == 2
    writer = RecordWriter(path)
    writer.trial_started(2, {}, "sampler")
    writer.close()
    assert path.read_bytes().startswith(whole)
    assert len(path.read_bytes().splitlines()) == len(whole.splitlines()) + 1
    assert sorted(read_records(path).trials) == [0, 1, 2]


@pytest.mark.parametrize(
    "line",
    [
        b"not json",
        b"\xff\xfe broken disk",
        b"null",
        b'{"event": "surprise", "time": 1.0}',
        b'{"event": "trial_end", "trial": 99, "state": "COMPLETE", "reason": "", "time": 1.0}',
        b'{"event": "trial_end", "trial": 0, "state": "DONE", "reason": "", "time": 1.0}',
        b'{"event": "epochs", "trial": 0, "worker": "w", "setup_seconds": 0.0, "reports": [1], "time": 1.0}',
        b'{"event": "final_end", "phase": "refit", "trial": 0, "seed": 99, "reason": "", "time": 1.0}',
    ],
)
def test_a_corrupt_middle_line_is_named(tmp_path: Path, line: bytes) -> None:
    path = tmp_path / "records.jsonl"
    write_run(path)
    lines = path.read_bytes().splitlines()
    path.write_bytes(b"\n".join([*lines[:4], line, *lines[4:], b""]))
    with pytest.raises(ValueError, match=r"records\.jsonl line 5 is not a record .*restore the file"):
        read_records(path)
    before = path.read_bytes()
    with pytest.raises(ValueError, match="line 5"):
        RecordWriter(path)
    assert path.read_bytes() == before


numbers = st.floats(allow_nan=True, allow_infinity=True) | st.floats(0, 1)


Write = Callable[[RecordWriter], None]


@st.composite
def events(draw: st.DrawFn) -> list[Write]:
    """Events of one session in an order in which a driver could write them."""
    made: list[Write] = [RecordWriter.session]

    def add(method: Callable[..., None], *values: Any, **named: Any) -> None:
        made.append(lambda writer: method(writer, *values, **named))

    for trial in range(draw(st.integers(0, 4))):
        params = draw(st.dictionaries(st.text(max_size=5), st.integers() | st.text(max_size=5) | st.booleans()))
        add(RecordWriter.trial_started, trial, params, "sampler")
        for epoch in range(1, draw(st.integers(1, 4))):
            add(RecordWriter.epochs, trial, [report(epoch, draw(numbers))], worker="wörker", setup_seconds=0.1)
        state = draw(st.sampled_from([None, TrialState.COMPLETE, TrialState.PRUNED, TrialState.FAIL]))
        if state is not None:
            add(RecordWriter.trial_ended, trial, state, draw(st.text(max_size=10)))
    return made


@given(made=events(), data=st.data())
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_file_cut_at_any_byte_reads_as_the_events_before_the_cut(
    tmp_path: Path, made: list[Write], data: st.DataObject
) -> None:
    path = tmp_path / "records.jsonl"
    path.unlink(missing_ok=True)
    writer = RecordWriter(path, clock=seconds_from(0.0))
    seen = [repr(writer.records)]
    for write in made:
        write(writer)
        seen.append(repr(writer.records))
    writer.close()
    whole = path.read_bytes()

    cut = data.draw(st.integers(0, len(whole)), label="bytes that reached the disk")
    path.write_bytes(whole[:cut])
    expected = seen[whole[:cut].count(b"\n")]
    assert repr(read_records(path)) == expected

    resumed = RecordWriter(path)
    assert repr(resumed.records) == expected
    sessions = len(resumed.records.sessions)
    resumed.session()
    resumed.close()
    assert len(read_records(path).sessions) == sessions + 1


def test_the_lines_on_disk_are_those_that_earlier_versions_read(tmp_path: Path) -> None:
    path = tmp_path / "records.jsonl"
    writer = RecordWriter(path, clock=lambda: 1.5)
    writer.session()
    writer.trial_started(0, {"optim.learning_rate": 0.001}, "first")
    writer.epochs(0, [report(1)], worker="node/1", setup_seconds=0.5)
    writer.trial_ended(0, TrialState.PRUNED, "rung 1")
    writer.grace_found(GraceChoice(epochs=9, spearman=math.nan, trials=(0, 1)))
    writer.final_started(Phase.FINALIST, 0, 1)
    writer.final_epochs(Phase.FINALIST, 0, 1, [report(1, math.nan)], worker="node/2", setup_seconds=0.25)
    writer.final_ended(Phase.FINALIST, 0, 1)
    writer.close()
    epoch = (
        '{"epoch": 1, "train_loss": 1.0, "val_loss": 1.2, "val_uar": %s, "val_war": 0.6, "learning_rate": 0.001, '
        '"seconds": 2.0}'
    )
    assert path.read_text().splitlines() == [
        '{"event": "session", "time": 1.5}',
        '{"event": "trial_start", "time": 1.5, "trial": 0, "params": {"optim.learning_rate": 0.001}, '
        '"origin": "first"}',
        '{"event": "epochs", "time": 1.5, "trial": 0, "worker": "node/1", "setup_seconds": 0.5, "reports": '
        f"[{epoch % '0.5'}]}}",
        '{"event": "trial_end", "time": 1.5, "trial": 0, "state": "PRUNED", "reason": "rung 1"}',
        '{"event": "grace", "time": 1.5, "epochs": 9, "spearman": null, "trials": [0, 1]}',
        '{"event": "final_start", "time": 1.5, "phase": "finalist", "trial": 0, "seed": 1}',
        '{"event": "final_epochs", "time": 1.5, "phase": "finalist", "trial": 0, "seed": 1, "worker": "node/2", '
        f'"setup_seconds": 0.25, "reports": [{epoch % "null"}]}}',
        '{"event": "final_end", "time": 1.5, "phase": "finalist", "trial": 0, "seed": 1, "reason": ""}',
    ]


def test_what_has_ended_is_on_the_disk_before_anything_is_built_on_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, on_disk = tmp_path / "records.jsonl", list[str]()
    fsync = os.fsync
    monkeypatch.setattr(os, "fsync", lambda file: (fsync(file), on_disk.append(path.read_text().splitlines()[-1])))
    write_run(path)
    assert [json.loads(line)["event"] for line in on_disk] == ["trial_end", "trial_end", "final_end"]
    writer = RecordWriter(path)
    writer.grace_found(GraceChoice(epochs=9, spearman=0.7, trials=(0, 1)))
    assert json.loads(on_disk[-1])["event"] == "grace"
    writer.gave_up("nothing to gain")
    assert json.loads(on_disk[-1])["event"] == "gave_up"


def test_a_search_that_gave_up_and_goes_on_after_all_has_not_given_up(tmp_path: Path) -> None:
    path = tmp_path / "records.jsonl"
    writer = RecordWriter(path)
    writer.gave_up("nothing to gain")
    assert read_records(path).gave_up == "nothing to gain"
    writer.trial_started(0, {}, "sampler")
    assert read_records(path).gave_up == writer.records.gave_up == ""
