"""The search on a simulated cluster: contracts of scheduler and samplers over many trials and workers."""

from __future__ import annotations

import itertools
import math
from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path
from statistics import median
from typing import Any

import optuna
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from search.jobs import Chunk, Job, Outcome, Wait
from search.run_folder.records import RunRecords, TrialRecord, TrialState
from search.run_folder.records_writer import RecordWriter
from search.run_folder.rungs import find_grace_epochs
from search.simulation.curve_tables import (
    Curve,
    CurveTable,
    TableHeader,
    curve_line,
    header_line,
    space_to_json,
    unit_coordinates,
)
from search.simulation.simulate import SimulatedClock, simulate
from search.study.asha import Asha
from search.study.samplers import SAMPLERS
from search.study.search import Search
from ser_core.config import ConfigError
from spaces.knobs import Choice, Float, Int, Knob, Space, Value
from tests.search.simulated import simulated_search

TABLES = Path(__file__).parents[3] / "benchmarks" / "curves"
SPACE = Space(
    knobs={
        "optim.learning_rate": Float(low=1e-4, high=1e-1, log=True),
        "model.width": Int(low=8, high=64, step=8),
        "optim.batch_size": Choice(values=(16, 32, 64)),
    },
    first=(),
)
EPOCHS = 9


def smooth(params: Mapping[str, Value]) -> Curve:
    """Best at a learning rate of 10^-2.2 and the largest width; wide models take longer."""
    distance = (
        abs(math.log10(float(params["optim.learning_rate"])) + 2.2) / 2 + (64 - float(params["model.width"])) / 200
    )
    values = [(0.9 - 0.4 * distance) * (1 - math.exp(-epoch / 4)) for epoch in range(1, EPOCHS + 1)]
    return Curve(params=params, val_uar=values, seconds=float(params["model.width"]) / 16)


def run(folder: Path, workers: int = 4, asha: Asha | None = None, **options: Any) -> RunRecords:
    folder.mkdir(exist_ok=True)
    return simulated_search(folder, SPACE, smooth, asha or Asha(EPOCHS, 3, 3), workers=workers, **options)


# -- the simulated cluster itself ------------------------------------------------------------------------------------


class Jobs:
    """A source of given jobs that lets all of them finish."""

    def __init__(self, jobs: list[Job]) -> None:
        self._jobs, self.chunks = jobs, list[tuple[float, Chunk]]()
        self.clock = SimulatedClock()

    def next_job(self) -> Job | Wait | None:
        return self._jobs.pop(0) if self._jobs else None

    def report(self, chunk: Chunk) -> bool:
        self.chunks.append((self.clock(), chunk))
        return chunk.outcome is Outcome.GOING

    def lost(self, job: str, reason: str) -> None:
        raise AssertionError(job)

    def tick(self) -> bool:
        return False


def job(name: str, seconds: float, **changes: Any) -> Job:
    return Job(**{"name": name, "params": {"seconds": seconds}, "folds": "search", "last_epoch": 4, **changes})


def constant(params: Mapping[str, Value]) -> Curve:
    return Curve(params=params, val_uar=[0.1, 0.2, 0.3, 0.4], seconds=float(params["seconds"]))


def test_workers_report_at_pauses_and_at_the_end_and_take_the_next_job() -> None:
    source = Jobs([job("a", 1.0, pauses=(3,)), job("b", 2.0), job("c", 0.5)])
    simulate(source, constant, workers=2, clock=source.clock, setup_seconds=0.25)
    seen = [(when, chunk.job, [r.epoch for r in chunk.reports], chunk.outcome.value) for when, chunk in source.chunks]
    assert seen == [
        (3.25, "a", [1, 2, 3], "going"),
        (4.25, "a", [4], "done"),
        (6.5, "c", [1, 2, 3, 4], "done"),  # on the worker of a
        (8.25, "b", [1, 2, 3, 4], "done"),
    ]
    assert source.chunks[0][1].worker == source.chunks[2][1].worker != source.chunks[3][1].worker
    assert [r.score("uar") for r in source.chunks[0][1].reports] == [0.1, 0.2, 0.3]


def test_workers_report_after_so_many_seconds() -> None:
    source = Jobs([job("a", 1.0)])
    simulate(source, constant, workers=1, clock=source.clock, chunk_seconds=1.5)
    assert [[r.epoch for r in chunk.reports] for _, chunk in source.chunks] == [[1, 2], [3, 4]]


def test_a_short_curve_fails_there_with_its_reason_and_must_have_one() -> None:
    source = Jobs([job("a", 1.0, last_epoch=5)])
    with pytest.raises(ValueError, match="a: the curve ends at epoch 4 of 5"):
        simulate(source, constant, workers=1, clock=source.clock)
    source = Jobs([job("a", 1.0, last_epoch=5)])
    diverging = Curve(params={}, val_uar=[0.1, 0.2], seconds=1.0, reason="diverged: NaN")
    simulate(source, lambda params: diverging, workers=1, clock=source.clock)
    (_, chunk) = source.chunks[-1]
    assert (chunk.outcome, chunk.reason, len(chunk.reports)) == (Outcome.FAILED, "diverged: NaN", 2)


def test_a_simulation_without_workers_is_refused() -> None:
    with pytest.raises(ValueError, match="at least 1 worker; got 0"):
        simulate(Jobs([]), constant, workers=0, clock=SimulatedClock())


@settings(deadline=None, max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(workers=st.integers(1, 20), trials=st.integers(1, 40), chunk=st.sampled_from([0.0, 3.0, math.inf]))
def test_every_trial_ends_and_no_worker_does_two_things_at_once(
    workers: int, trials: int, chunk: float, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("run")
    records = run(folder, workers, trials=trials, sampler="random", chunk_seconds=chunk)
    assert sorted(records.trials) == list(range(trials))
    by_worker = defaultdict(list)
    for trial in records.trials.values():
        assert trial.ended is not None
        assert trial.ended - trial.started == pytest.approx(trial.train_seconds)
        by_worker[trial.worker].append((trial.started, trial.ended))
    assert len(by_worker) == min(workers, trials)
    for spans in by_worker.values():
        assert all(first[1] <= second[0] for first, second in itertools.pairwise(sorted(spans)))


# -- the scheduler ---------------------------------------------------------------------------------------------------


def best_at(trial: TrialRecord, epoch: int) -> float:
    return max(report.score("uar") for report in trial.epochs[:epoch])


def test_two_thousand_trials_on_64_workers(tmp_path: Path) -> None:
    asha = Asha(EPOCHS, 1, 3)
    records = run(tmp_path, 64, asha, trials=2000, sampler="random")
    trials = list(records.trials.values())
    assert len(trials) == 2000
    assert {trial.state for trial in trials} == {TrialState.COMPLETE, TrialState.PRUNED}
    for epoch, rung in asha.rungs.items():
        # Each stands there with what it had at that epoch, however far it went later.
        assert rung == {t.number: best_at(t, epoch) for t in trials if len(t.epochs) >= epoch}
        share = sum(len(trial.epochs) > epoch for trial in trials) / len(rung)
        assert 0.3 < share < 0.4  # a third, up to what the first to arrive and the last change
    assert {len(trial.epochs) for trial in trials} == {1, 3, EPOCHS}
    best = max(smooth(trial.params).val_uar[-1] for trial in trials)
    assert max(trial.value for trial in trials if trial.state is TrialState.COMPLETE) == best
    # No worker waits while there are trials to start.
    last = max(trial.started for trial in trials)
    worked = sum(min(trial.ended or last, last) - trial.started for trial in trials)
    assert worked == pytest.approx(64 * last)


def test_one_worker_and_one_seed_give_one_search(tmp_path: Path) -> None:
    one, two = (run(tmp_path / name, 1, trials=25, seed=3).trials for name in ("one", "two"))
    assert one == two
    assert one != run(tmp_path / "three", 1, trials=25, seed=4).trials


def test_a_trial_whose_every_epoch_is_nan_ends_at_the_first_rung_that_judges(tmp_path: Path) -> None:
    def sometimes_nan(params: Mapping[str, Value]) -> Curve:
        curve = smooth(params)
        dead = params["optim.batch_size"] == 16
        return Curve(params=params, val_uar=[math.nan] * EPOCHS if dead else curve.val_uar, seconds=curve.seconds)

    records = simulated_search(
        tmp_path, SPACE, sometimes_nan, Asha(EPOCHS, 3, 3), workers=4, trials=60, sampler="random"
    )
    dead = [trial for trial in records.trials.values() if trial.params["optim.batch_size"] == 16]
    assert len(dead) > 10
    assert {(t.state, t.reason) for t in dead[3:]} == {(TrialState.PRUNED, "rung 3")}


def test_the_epoch_budget_holds_on_many_workers(tmp_path: Path) -> None:
    records = run(tmp_path, 16, trials=1000, epochs_total=300, sampler="random")
    epochs = sum(len(trial.epochs) for trial in records.trials.values())
    assert 300 <= epochs < 300 + 16 * 6  # what was at work up to its next report
    assert all(trial.ended is not None for trial in records.trials.values())


def test_the_clock_ends_a_simulated_search_in_time(tmp_path: Path) -> None:
    clock = SimulatedClock()
    writer = RecordWriter(tmp_path / "records.jsonl", clock=clock)
    study = optuna.create_study(direction="maximize")
    search = Search(
        study=study, space=SPACE, writer=writer, asha=Asha(EPOCHS, 3, 3), sampler="random", seed=0, fixed={},
        trials=10_000, time_left=lambda: 200.0 - clock(),
    )  # fmt: skip
    simulate(search, smooth, workers=8, clock=clock, chunk_seconds=1.0)
    assert 200.0 <= clock() <= 200.0 + 4.0  # one epoch of the widest model
    assert {trial.reason for trial in writer.records.trials.values() if trial.ended == clock()} == {"budget used up"}
    assert {trial.state.name for trial in study.trials} == {"COMPLETE", "PRUNED"}


# -- the samplers ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_proposals_lie_in_the_space_and_do_not_depend_on_a_break(sampler: str, tmp_path: Path) -> None:
    trials = 16
    unbroken = run(tmp_path / "unbroken", 1, trials=trials, sampler=sampler).trials
    for trial, (name, knob) in itertools.product(unbroken.values(), SPACE.knobs.items()):
        assert all(0 <= at <= 1 for at in unit_coordinates(knob, trial.params[name]))
    (tmp_path / "broken").mkdir()
    study = optuna.create_study(direction="maximize")
    for until in (5, 12, trials):
        clock = SimulatedClock()
        writer = RecordWriter(tmp_path / "broken" / "records.jsonl", clock=clock)
        search = Search(
            study=study, space=SPACE, writer=writer, asha=Asha(EPOCHS, 3, 3), sampler=sampler, seed=0, fixed={},
            trials=until,
        )  # fmt: skip
        simulate(search, smooth, workers=1, clock=clock)
        writer.close()
    assert [t.params for t in writer.records.trials.values()] == [t.params for t in unbroken.values()]


@pytest.mark.parametrize("sampler", [name for name in SAMPLERS if name != "random"])
def test_a_sampler_that_learns_beats_random_draws_beside_many_workers(sampler: str, tmp_path: Path) -> None:
    def best_half(name: str, seed: int) -> float:
        """Median of the full-length scores of the later half of the proposals; all are trained to the end."""
        asha = Asha(EPOCHS, EPOCHS, 3)
        trials = run(tmp_path / f"{name}{seed}", 8, asha, trials=40, seed=seed, sampler=name).trials.values()
        return median(smooth(trial.params).val_uar[-1] for trial in trials if trial.number >= 20)

    seeds = range(3)
    assert median(best_half(sampler, seed) for seed in seeds) > 0.02 + median(best_half("random", s) for s in seeds)


# -- recorded curves -------------------------------------------------------------------------------------------------


def header(knobs: Mapping[str, Knob]) -> TableHeader:
    space = space_to_json(Space(knobs=dict(knobs), first=()))
    return TableHeader(model="m", corpus="c", split="speaker", seed=0, fixed={}, epochs=2, space=space, about="")


def test_a_table_comes_back_from_its_file_and_answers_with_curves_nearby(tmp_path: Path) -> None:
    knobs = {"optim.learning_rate": Float(low=1e-4, high=1.0, log=True), "model.kind": Choice(values=("a", "b"))}
    rates = [10 ** (-4 + 0.1 * n) for n in range(41)]
    curves = [
        Curve(params={"optim.learning_rate": rate, "model.kind": kind}, val_uar=[rate, rate], seconds=0.5)
        for rate, kind in itertools.product(rates, "ab")
    ]
    path = tmp_path / "table.jsonl"
    path.write_text("\n".join([header_line(header(knobs)), *map(curve_line, curves)]) + "\n")
    table = CurveTable.read(path)
    assert table.space.knobs == knobs
    assert table.curves[3].params == curves[3].params
    asked = {"optim.learning_rate": 1e-2, "model.kind": "b", "seed": 7}
    curve = table.curve_of(asked)
    assert curve is table.curve_of({**asked, "seed": 8})  # a setting that is no knob of the table
    assert curve.params["model.kind"] == "b"
    assert abs(math.log10(float(curve.params["optim.learning_rate"])) + 2) <= 0.21  # one of the five nearest
    around = [table.curve_of({**asked, "optim.learning_rate": 1e-2 * (1 + n / 1e6)}) for n in range(40)]
    assert 2 <= len({id(curve) for curve in around}) <= 5


@pytest.mark.parametrize(
    ("text", "message"),
    [("", "is not a table"), ("[]\n", "is not a table"), (header_line(header({})) + "\n", "holds no curve")],
)
def test_a_file_that_is_no_table_is_refused(text: str, message: str, tmp_path: Path) -> None:
    path = tmp_path / "table.jsonl"
    path.write_text(text)
    with pytest.raises(ConfigError, match=message):
        CurveTable.read(path)


@pytest.mark.parametrize(("name", "least"), [("mlp-ravdess", 1000), ("shallow_cnn-ravdess", 100)])
def test_asha_saves_epochs_on_recorded_curves_at_little_cost(name: str, least: int, tmp_path: Path) -> None:
    table = CurveTable.read(TABLES / f"{name}.jsonl")
    assert len(table.curves) >= least
    epochs = table.header.epochs

    def search(asha: Asha, seed: int) -> tuple[float, int]:
        """Full-length score of the configuration that would win, and the epochs spent."""
        folder = tmp_path / f"{asha.grace_epochs}-{seed}"
        folder.mkdir()
        records = simulated_search(
            folder, table.space, table.curve_of, asha, workers=8, trials=50, sampler="random", seed=seed
        )
        best = max(records.trials.values(), key=lambda trial: trial.value)
        return max(table.curve_of(best.params).val_uar), sum(len(t.epochs) for t in records.trials.values())

    seeds = range(10)
    halved = [search(Asha(epochs, math.ceil(epochs / 5), 3), seed) for seed in seeds]
    whole = [search(Asha(epochs, epochs, 3), seed) for seed in seeds]
    assert median(spent for _, spent in halved) < 0.6 * 50 * epochs
    assert median(score for score, _ in halved) > median(score for score, _ in whole) - 0.01


def test_the_first_rung_of_the_recorded_cnn_is_not_the_first_epoch() -> None:
    """Rankings settle late enough for the default, a fifth of the budget, not to be an idle precaution."""
    table = CurveTable.read(TABLES / "shallow_cnn-ravdess.jsonl")
    curves = [curve.val_uar for curve in table.curves if not curve.reason]
    epoch, agreement = find_grace_epochs(curves, table.header.epochs)
    assert 2 <= epoch <= table.header.epochs // 2
    assert agreement >= 0.6
