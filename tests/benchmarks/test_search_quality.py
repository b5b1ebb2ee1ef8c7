"""The contestants of benchmarks/search_quality.py take part as they should, and what they are measured on is right."""

from __future__ import annotations

import csv
import itertools
import json
import math
from collections.abc import Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import search_quality
from _contestants import CONTESTANTS, FINALISTS, SEEDS, Contestant, run
from _forest import CurveForest
from _objectives import BIAS_AND_NOISE, HartmannCurve, Objective, forest_objective, hartmann, table_objective
from _peers import EPOCH, VALUE, PeerSource, RayTune
from _quality_figure import STYLES, Line, figure
from search_quality import difference, interval

from search.jobs import Chunk, Outcome
from search.simulation.curve_tables import Curve, CurveTable, TableHeader, curve_line, header_line, space_to_json
from search.simulation.simulate import SimulatedClock, simulate
from spaces.knobs import Choice, Float, Int, Space, Value

AT = (1, 2, 20, 99, 100)
GOLDEN = {
    (3, "good", (0.1, 0.2, 0.3)): (2.6169228, 1.9747202, 0.9673735, -0.7215319, -0.7329115),
    (3, "good", (0.114614, 0.555649, 0.852547)): (1.1034212, 0.8153892, -2.4608701, -3.8504808, -3.8627798),
    (3, "bad", (0.1, 0.2, 0.3)): (4.8721579, 3.7525062, 2.2851124, -0.7125411, -0.7329115),
    (6, "good", (0.1, 0.2, 0.3, 0.4, 0.5, 0.6)): (2.2038646, 0.9478479, 0.1302572, -1.4005697, -1.4069106),
    (6, "bad", (0.1, 0.2, 0.3, 0.4, 0.5, 0.6)): (4.9529501, 2.5706140, 1.3662774, -1.3961095, -1.4069106),
    (6, "bad", (0.20169, 0.150011, 0.476874, 0.275332, 0.311652, 0.6573)): (
        2.9531583, 3.4611727, -1.5474629, -3.3076306, -3.3223680,
    ),
}  # fmt: skip
"""Values after 1, 2, 20, 99 and 100 epochs, to be minimised, from mfpbench/synthetic/hartmann/generators.py of
mf-prior-bench 1.10.0, loaded by itself: MFHartmann3(n_fidelities=100, fidelity_bias=2.5, fidelity_noise=2.0)(z, point)
for good, 3.5 and 4.0 for bad."""


@pytest.mark.parametrize(("dimensions", "quality", "point"), GOLDEN)
def test_mfhartmann_is_that_of_mf_prior_bench(dimensions: int, quality: str, point: tuple[float, ...]) -> None:
    curve = HartmannCurve(point, *BIAS_AND_NOISE[quality])
    assert len(curve) == 100
    golden = GOLDEN[dimensions, quality, point]
    assert [-curve[epoch - 1] for epoch in AT] == pytest.approx(list(golden), abs=1e-7)


@pytest.mark.parametrize("dimensions", [3, 6])
def test_the_known_optimum_of_hartmann_has_no_regret(dimensions: int) -> None:
    it = hartmann(dimensions, "bad")
    optimum = {3: (0.114614, 0.555649, 0.852547), 6: (0.20169, 0.150011, 0.476874, 0.275332, 0.311652, 0.6573)}
    params = {f"X_{index}": value for index, value in enumerate(optimum[dimensions])}
    assert it.regret(params) == pytest.approx(0.0, abs=1e-5)
    assert it.final(params) == max(it.curve_of(params).val_uar)


# -- contestants -----------------------------------------------------------------------------------------------------

SPACE = Space(
    knobs={
        "rate": Float(low=1e-4, high=1e-1, log=True),
        "drop": Float(low=0.0, high=0.5),
        "layers": Int(low=1, high=3),
        "width": Int(low=16, high=64, step=16),
        "batch": Int(low=8, high=64, log=True),
        "kind": Choice(values=("a", "b")),
    }
)
EPOCHS = 9


def quality(params: Mapping[str, Value], epoch: int) -> float:
    distance = abs(math.log10(float(params["rate"])) + 2) / 3 + float(params["drop"]) + 0.1 * (params["kind"] == "b")
    return round((1 - distance / 2) * (1 - 0.7**epoch), 4)


@pytest.fixture
def table_file(tmp_path: Path) -> Path:
    """A table of 60 curves over knobs of every kind; a few break off, as diverged trainings do."""
    rng = np.random.default_rng(0)
    header = TableHeader(
        model="m", corpus="c", split="s", seed=0, fixed={}, epochs=EPOCHS, space=space_to_json(SPACE), about=""
    )
    lines = [header_line(header)]
    for number in range(60):
        params = {
            "rate": float(10 ** rng.uniform(-4, -1)),
            "drop": float(rng.uniform(0, 0.5)),
            "layers": int(rng.integers(1, 4)),
            "width": 16 * int(rng.integers(1, 5)),
            "batch": int(rng.integers(8, 65)),
            "kind": "ab"[int(rng.integers(2))],
        }
        failed = number % 20 == 7
        values = [quality(params, epoch) for epoch in range(1, 3 if failed else EPOCHS + 1)]
        lines.append(curve_line(Curve(params=params, val_uar=values, seconds=0.5, reason="diverged" if failed else "")))
    path = tmp_path / "table.jsonl"
    path.write_text("\n".join(lines) + "\n")
    return path


@pytest.fixture
def table(table_file: Path) -> Objective:
    return table_objective(table_file, "table")


def installed(contestant: Contestant) -> Contestant:
    if contestant.missing:
        pytest.skip(f"{contestant.package} is not installed: {contestant.install}")
    return contestant


@pytest.mark.parametrize("name", CONTESTANTS)
@pytest.mark.parametrize("workers", [1, 5])
def test_every_contestant_spends_its_budget_and_names_the_best_it_saw(
    name: str, workers: int, table: Objective
) -> None:
    seen: list[tuple[Mapping[str, Value], float]] = []

    def curve_of(params: Mapping[str, Value]) -> Curve:
        assert all(knob.accepts(params[name]) for name, knob in SPACE.knobs.items()), params
        curve = table.curve_of(params)
        seen.append((params, max(curve.val_uar)))
        return curve

    contestant = installed(CONTESTANTS[name])
    repeats = FINALISTS * SEEDS if contestant.finals else 0
    budget = (15 + repeats) * EPOCHS
    watched = replace(table, curve_of=curve_of)
    meter = run(contestant, watched, workers=workers, seed=3, budget=budget)
    assert meter.epochs == budget
    assert meter.trials == len(seen) - repeats >= 15
    assert len({json.dumps(params) for params, _ in seen}) > 5
    regrets = [table.regret(meter.incumbent(at)) for at in range(EPOCHS, budget + 1)]
    assert min(regrets) >= 0
    assert regrets[-1] <= regrets[0]
    assert table.final(meter.incumbents[-1][2]) in [best for _, best in seen]
    assert [at for at, _, _ in meter.incumbents] == sorted(at for at, _, _ in meter.incumbents)


def test_a_forest_tells_what_a_table_lets_expect(table_file: Path) -> None:
    it, table = forest_objective(table_file, "forest"), CurveTable.read(table_file)
    whole = [curve for curve in table.curves if not curve.reason]
    expected, recorded = [it.final(curve.params) for curve in whole], [max(curve.val_uar) for curve in whole]
    assert np.corrcoef(expected, recorded)[0, 1] > 0.9
    assert max(expected) <= it.best < max(recorded)  # leaves average several curves
    first, others = whole[0].params, [{**whole[0].params, "seed": seed} for seed in range(300)]
    assert it.curve_of(first).val_uar == it.curve_of({**first, "fixed": 1}).val_uar
    drawn = np.array([it.curve_of(params).val_uar for params in others])
    assert len(np.unique(drawn, axis=0)) > len(whole) / 2  # a training with another seed has luck of its own
    assert drawn.mean(axis=0) == pytest.approx(CurveForest(table).expected(first), abs=0.02)
    assert it.final(others[0]) == it.final(others[1]) == it.final(first)


def test_finals_are_paid_from_the_budget_and_their_winner_counts(table_file: Path) -> None:
    it, budget = forest_objective(table_file, "forest"), (12 + FINALISTS * SEEDS) * EPOCHS
    seeds: dict[str, set[Value]] = {}

    def curve_of(params: Mapping[str, Value]) -> Curve:
        seeds.setdefault(json.dumps([params[name] for name in SPACE.knobs]), set()).add(params["seed"])
        return it.curve_of(params)

    meter = run(CONTESTANTS["ours-finals"], replace(it, curve_of=curve_of), workers=3, seed=1, budget=budget)
    repeated = [params for params, tried in seeds.items() if len(tried) == 1 + SEEDS]
    assert len(repeated) == FINALISTS
    *_, (before, _, _), (at, _, winner) = meter.incumbents
    assert before <= 12 * EPOCHS < at == budget
    assert json.dumps([winner[name] for name in SPACE.knobs]) in repeated
    assert meter.incumbent(budget) == winner


@pytest.mark.parametrize("name", ["ours", "ray", "optuna-hb", "syne-bohb"])
def test_a_seed_gives_the_same_search_again(name: str, table: Objective) -> None:
    searches = [run(installed(CONTESTANTS[name]), table, workers=3, seed=seed, budget=90) for seed in (1, 1, 2)]
    first, again, other = ([(at, params) for at, _, params in meter.incumbents] for meter in searches)
    assert first == again
    assert first != other


def test_the_meter_keeps_the_earlier_of_equals_and_who_led_when(table: Objective) -> None:
    meter = run(CONTESTANTS["random"], table, workers=1, seed=0, budget=4 * EPOCHS)
    best = [table.final(params) for _, _, params in meter.incumbents]
    assert best == sorted(set(best))
    for (at, _, params), (later, _, _) in itertools.pairwise(meter.incumbents):
        assert meter.incumbent(at) == meter.incumbent(later - 1) == params


# -- Ray Tune as its controller runs it --------------------------------------------------------------------------------


@pytest.mark.slow
def test_ray_tune_proposes_and_stops_as_in_a_real_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import ray
    from ray import tune
    from ray.tune.schedulers import ASHAScheduler
    from ray.tune.search.optuna import OptunaSearch

    space = Space(knobs={"x": Float(low=0.0, high=1.0), "kind": Choice(values=("a", "b"))})

    def value(params: Mapping[str, Any], epoch: int) -> float:
        return float((1 - abs(params["x"] - 0.3) - 0.2 * (params["kind"] == "b")) * (1 - 0.8**epoch))

    class Training(tune.Trainable):
        def setup(self, config: dict[str, Any]) -> None:
            self.config = config

        reset_config = lambda self, config: self.setup(config) is None  # noqa: E731

        def step(self) -> dict[str, float]:
            return {VALUE: value(self.config, self.iteration + 1)}

        def save_checkpoint(self, checkpoint_dir: str) -> None:
            """Ray saves every trial at its end, and one that cannot be saved has failed."""

    trials = 16
    for limit, long in (("RAY_raylet_start_wait_time_s", "400"), ("RAY_agent_register_timeout_ms", "400000")):
        monkeypatch.setenv(limit, long)  # a busy machine is slow to start Ray
    ray.init(num_cpus=1, include_dashboard=False, log_to_driver=False)
    try:
        results = tune.Tuner(
            Training,
            param_space={"x": tune.uniform(0.0, 1.0), "kind": tune.choice(["a", "b"])},
            tune_config=tune.TuneConfig(
                search_alg=OptunaSearch(metric=VALUE, mode="max", seed=5),
                scheduler=ASHAScheduler(time_attr=EPOCH, metric=VALUE, mode="max", max_t=EPOCHS, reduction_factor=2),
                num_samples=trials,
                reuse_actors=True,
            ),
            run_config=tune.RunConfig(storage_path=str(tmp_path), verbose=0),
        ).fit()
    finally:
        ray.shutdown()
    real = [(result.config, result.metrics[EPOCH]) for result in results]

    ended: dict[str, int] = {}
    given: list[dict[str, Any]] = []

    class Watched(PeerSource):
        def tick(self) -> bool:
            return len(ended) == trials

        def report(self, chunk: Chunk) -> bool:
            goes_on = super().report(chunk)
            if not goes_on:
                ended[chunk.job] = chunk.reports[-1].epoch
            return goes_on

    def curve_of(params: Mapping[str, Value]) -> Curve:
        given.append(dict(params))
        return Curve(params=params, val_uar=[value(params, epoch) for epoch in range(1, EPOCHS + 1)], seconds=1.0)

    source = Watched(RayTune(space, EPOCHS, 5, reduction_factor=2), EPOCHS)
    simulate(source, curve_of, workers=1, clock=SimulatedClock(), chunk_seconds=0.0)
    simulated = list(zip(given, ended.values(), strict=True))
    assert simulated == real
    assert len({epochs for _, epochs in real}) > 2


def test_a_failed_trial_is_told_to_ray_as_one(table: Objective) -> None:
    source = PeerSource(RayTune(SPACE, EPOCHS, 0), EPOCHS)
    job = source.next_job()
    assert not source.report(Chunk(job=job.name, reports=[], outcome=Outcome.FAILED, worker="w", reason="diverged"))
    study = source._peer._searcher._ot_study  # type: ignore[attr-defined]
    assert [trial.state.name for trial in study.trials] == ["FAIL", "RUNNING"]


# -- what it comes to --------------------------------------------------------------------------------------------------


def line(contestant: str, final: np.ndarray) -> Line:
    regrets = np.stack([final + 1, final], axis=1)  # (seeds, points)
    low, high = interval(regrets)
    return Line(
        objective="mlp", workers=8, contestant=contestant, epochs=(10, 20), regrets=regrets, mean=regrets.mean(0),
        low=low, high=high, trials=5.0, seconds=9.0,
    )  # fmt: skip


def test_ours_is_compared_with_the_best_peer_seed_by_seed() -> None:
    noise = np.random.default_rng(0).uniform(0, 1, 20)
    peers = {"ray": line("ray", noise + 1), "optuna-hb": line("optuna-hb", noise + 2)}
    ours = {"better": noise + 0.9, "worse": noise + 1.1, "level": noise[::-1] + 1}
    for verdict, final in ours.items():
        said = difference({"ours": line("ours", final), **peers, "random-asha": line("random-asha", noise)})
        assert said.endswith(f"ray: {verdict}")
    assert difference({"ours": line("ours", noise + 0.9), **peers}).startswith("-0.100 [-0.100, -0.100]")
    assert difference(peers) == "–"


def test_the_interval_holds_the_mean_and_narrows_with_seeds() -> None:
    values = np.random.default_rng(1).normal(size=(400, 1))
    (few_low, few_high), (low, high) = interval(values[:20]), interval(values)
    assert few_low[0] < values[:20].mean() < few_high[0]
    assert high[0] - low[0] < (few_high[0] - few_low[0]) / 2
    assert high[0] - low[0] == pytest.approx(2 * 1.96 / 20, rel=0.15)


def test_every_contestant_has_a_look_and_a_panel_shows_all_of_them() -> None:
    assert set(STYLES) == set(CONTESTANTS)
    assert len(set(STYLES.values())) == len(STYLES)
    lines = [replace(line(name, np.linspace(0.1, 0.2, 5)), objective="mfhartmann3-good") for name in CONTESTANTS]
    drawn = figure(lines)
    named = {trace.name: trace for trace in drawn.data if trace.name}
    assert set(named) == {contestant.title for contestant in CONTESTANTS.values()}
    assert list(named["ours"].y) == pytest.approx([1.15, 0.15])


def test_the_command_writes_its_results_and_goes_on_where_it_was_stopped(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    absent = replace(CONTESTANTS["syne-asha"], package="no_such_package")
    monkeypatch.setitem(search_quality.CONTESTANTS, "syne-asha", absent)  # type: ignore[arg-type]
    options = ["--objectives", "mfhartmann3-good", "--workers", "2", "--only", "ours,random,syne-asha", "--budget", "2"]
    first = [search_quality.Task(objective="mfhartmann3-good", contestant=name, workers=2, seed=0, budget=200)
             for name in ("ours", "random")]  # fmt: skip
    done = "".join(json.dumps(asdict(search_quality.search(task))) + "\n" for task in first)
    (tmp_path / "search_quality.jsonl").write_text(done + '{"task": {"obj')  # stopped in the middle of a line
    search_quality.main([*options, "--seeds", "2", "--processes", "1", "--out", str(tmp_path)])
    assert "left out: Syne Tune ASHA, not installed: pip install" in capsys.readouterr().out
    results = (tmp_path / "search_quality.jsonl").read_text()
    assert results.startswith(done)
    assert len(results.splitlines()) == 2 * len(first)
    with (tmp_path / "search_quality.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 2 * search_quality.POINTS
    assert {row["seeds"] for row in rows} == {"2"}
    assert all(0 <= float(row["low"]) <= float(row["regret"]) <= float(row["high"]) for row in rows)
    assert "plotly" in (tmp_path / "search_quality.html").read_text()


def test_unknown_names_are_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        search_quality.parse(["--only", "ours,hyperopt"])
    assert "--only: unknown hyperopt; known: ours,ours-finals,ray," in capsys.readouterr().err
