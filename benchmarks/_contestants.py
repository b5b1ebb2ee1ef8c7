"""Who takes part in benchmarks/search_quality.py: our search, its peers and random search, each as a `JobSource`."""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import optuna
from _objectives import Objective
from _peers import OptunaAlone, Peer, PeerSource, RayTune, SyneTune
from optuna.pruners import HyperbandPruner, SuccessiveHalvingPruner

from search.driver.options import OPTIONS
from search.finals.finalists import FinalJobs, best_of, finalist_scores
from search.jobs import Chain, Chunk, Job, JobSource, Link, Wait
from search.run_folder.limits import Limits
from search.run_folder.paths import RECORDS_FILE
from search.run_folder.plan import CorpusFacts, PartSpeakers, SearchPlan
from search.run_folder.records import Phase, RunRecords
from search.run_folder.records_writer import RecordWriter
from search.run_folder.rungs import default_grace_epochs
from search.run_folder.scoring import DEFAULT_SCORE, Scoring
from search.simulation.simulate import SimulatedClock, simulate
from search.study.asha import Asha
from search.study.search import Search
from spaces.knobs import Value

MakeSource = Callable[[Objective, int, RecordWriter, int], JobSource]
FINALISTS, SEEDS, SAMPLER = (OPTIONS[name].default for name in ("finalists", "seeds", "sampler"))


@dataclass(frozen=True, kw_only=True)
class Contestant:
    """One search.

    Attributes:
        name: as `--only` takes it. title: for readers.
        make: its source from the objective, a seed, empty records and the budget in epochs.
        package: what must be installed, by its import name. install: how.
        peer: made by others entirely, so that ours is measured against it.
        finals: within its budget it repeats the finalists with fresh seeds; their winner is what it found.
    """

    name: str
    title: str
    make: MakeSource
    package: str = "optuna"
    install: str = ""
    peer: bool = True
    finals: bool = False

    @property
    def missing(self) -> bool:
        return find_spec(self.package) is None


def _ours(sampler: str, *, early_stopping: bool = True, finals: bool = False, all_trials: bool = False) -> MakeSource:
    def make(objective: Objective, seed: int, writer: RecordWriter, budget: int) -> JobSource:
        epochs = objective.max_epochs
        grace = default_grace_epochs(epochs) if early_stopping else epochs
        search = Search(
            study=optuna.create_study(direction="maximize"),
            space=objective.space,
            writer=writer,
            asha=Asha(epochs, grace, OPTIONS["reduction"].default, objective.folds),
            sampler=sampler,
            seed=seed,
            fixed={},
            trials=10**9,  # the budget ends the search
            all_trials=all_trials,
            epochs_total=budget - FINALISTS * SEEDS * epochs if finals else None,
        )
        return Chain(_with_finals(search, epochs, seed, writer)) if finals else search

    return make


def _with_finals(search: Search, epochs: int, seed: int, writer: RecordWriter) -> Iterator[Link]:
    """The search and then the finalists with fresh seeds, as a run has them one after another."""
    yield Link(search)
    finals = FinalJobs(phase=Phase.FINALIST, plan=_plan(seed, epochs), writer=writer)
    for trial in writer.records.ranked()[:FINALISTS]:
        finals.add(trial, epochs)
    yield Link(finals)


def _plan(seed: int, epochs: int) -> SearchPlan:
    """What the finals ask of a plan, whose other fields say nothing here: seeds on the search's own folds."""
    nobody = CorpusFacts(name="", clips=0, speakers=0, classes=())
    return SearchPlan(
        model="", data="", classes=None, skip_bad=False, corpus=nobody, split="", speakers=PartSpeakers(),
        speaker_independent=True, synthetic=False, max_epochs=epochs, grace_epochs=epochs, reduction=2.0,
        finalists=FINALISTS, seeds=SEEDS, sampler=SAMPLER, seed=seed, fixed={}, space={}, first=(),
        limits=Limits(trials=1),
    )  # fmt: skip


def _theirs(make_peer: Callable[[Objective, int], Peer]) -> MakeSource:
    return lambda objective, seed, _records, _budget: PeerSource(make_peer(objective, seed), objective.max_epochs)


def _ray(*, our_grace: bool) -> MakeSource:
    return _theirs(lambda it, seed: RayTune(it.space, it.max_epochs, seed, **_grace(it, our_grace)))


def _optuna(pruner: Callable[[int], optuna.pruners.BasePruner]) -> MakeSource:
    return _theirs(lambda it, seed: OptunaAlone(it.space, it.max_epochs, seed, pruner(it.max_epochs)))


def _syne(baseline: str, *, our_grace: bool) -> MakeSource:
    return _theirs(lambda it, seed: SyneTune(it.space, it.max_epochs, seed, baseline, **_grace(it, our_grace)))


def _grace(objective: Objective, ours: bool) -> dict[str, int]:
    return {"grace_period": default_grace_epochs(objective.max_epochs)} if ours else {}


SYNE_INSTALL = "pip install --no-deps syne-tune==0.16.0, after pip install '.[bench]'"
CONTESTANTS: Mapping[str, Contestant] = {
    contestant.name: contestant
    for contestant in (
        Contestant(name="ours", title="ours", make=_ours(SAMPLER), peer=False),
        Contestant(
            name="ours-finals",
            title="ours, with finals",
            make=_ours(SAMPLER, finals=True),
            peer=False,
            finals=True,
        ),
        Contestant(name="ray", title="Ray Tune", make=_ray(our_grace=False), package="ray"),
        Contestant(name="ray-grace", title="Ray Tune, our grace", make=_ray(our_grace=True), package="ray"),
        Contestant(
            name="optuna-sh",
            title="Optuna, successive halving",
            make=_optuna(lambda epochs: SuccessiveHalvingPruner(min_resource=1)),
        ),
        Contestant(
            name="optuna-hb",
            title="Optuna, Hyperband",
            make=_optuna(lambda epochs: HyperbandPruner(min_resource=1, max_resource=epochs)),
        ),
        Contestant(
            name="syne-asha",
            title="Syne Tune ASHA",
            make=_syne("ASHA", our_grace=False),
            package="syne_tune",
            install=SYNE_INSTALL,
        ),
        Contestant(
            name="syne-bohb",
            title="Syne Tune BOHB, our grace",
            make=_syne("BOHB", our_grace=True),
            package="syne_tune",
            install=SYNE_INSTALL,
        ),
        Contestant(name="random", title="random search", make=_ours("random", early_stopping=False)),
        Contestant(name="random-asha", title="random search, our ASHA", make=_ours("random"), peer=False),
        Contestant(name="ours-gp", title="ours, curve-gp", make=_ours("curve-gp"), peer=False),
    )
}


OURS_TO_THE_END = Contestant(
    name="ours-all", title="ours, to the end of the budget", make=_ours(SAMPLER, all_trials=True), peer=False
)
"""For `_worth_stop`: it goes on when there is nothing to gain."""


@dataclass
class Meter:
    """Passes everything on to a source, counts epochs, ends the search at its budget and keeps the incumbents.

    The incumbent is the trial with the best value of any epoch so far, the earlier one of equals; repetitions of a
    trial do not count, until they are over and `crown` tells who has won.

    Attributes:
        source: any. clock: the simulation's. budget: epochs over all trials.
        records: of the search; those of a peer are empty.
        trials: that began. epochs: that were reported.
        incumbents: (epochs over all trials, simulated seconds, configuration) at every change.
    """

    source: JobSource
    clock: SimulatedClock
    budget: int
    records: RunRecords
    trials: int = 0
    epochs: int = 0
    incumbents: list[tuple[int, float, Mapping[str, Value]]] = field(default_factory=list)
    _best: float = -math.inf
    _params: dict[str, Mapping[str, Value]] = field(default_factory=dict)
    _leader: str = ""

    def next_job(self) -> Job | Wait | None:
        job = self.source.next_job()
        if isinstance(job, Job) and not job.name.startswith(Phase.FINALIST):
            self.trials += 1
            self._params[job.name] = job.params
        return job

    def report(self, chunk: Chunk) -> bool:
        for report in chunk.reports:
            self.epochs += 1
            if chunk.job in self._params and report.score("uar") > self._best:
                self._best = report.score("uar")
                if chunk.job != self._leader:
                    self._leader = chunk.job
                    self.incumbents.append((self.epochs, self.clock(), self._params[chunk.job]))
        return self.source.report(chunk)

    def lost(self, job: str, reason: str) -> None:
        self.source.lost(job, reason)

    def tick(self) -> bool:
        return self.epochs >= self.budget or self.source.tick()

    def crown(self, params: Mapping[str, Value]) -> None:
        """From now on this configuration is the incumbent."""
        self.incumbents.append((self.epochs, self.clock(), params))

    def incumbent(self, epochs: int) -> Mapping[str, Value]:
        """Configuration of the incumbent once that many epochs were reported; the first one before."""
        return self.incumbents[max(0, bisect_right([at for at, _, _ in self.incumbents], epochs) - 1)][2]


def run(contestant: Contestant, objective: Objective, *, workers: int, seed: int, budget: int) -> Meter:
    """One search to its budget of epochs over all trials, every worker reporting after every epoch."""
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    clock = SimulatedClock()
    with TemporaryDirectory() as folder:
        in_turn = objective.max_epochs if objective.folds > 1 else 0
        scoring = Scoring(DEFAULT_SCORE, fold_epochs=in_turn)
        writer = RecordWriter(Path(folder) / RECORDS_FILE, clock=clock, scoring=scoring)
        try:
            writer.session()
            meter = Meter(contestant.make(objective, seed, writer, budget), clock, budget, writer.records)
            simulate(meter, objective.curve_of, workers=workers, clock=clock, chunk_seconds=0.0)
            if contestant.finals:
                winner = best_of(finalist_scores(writer.records, list(writer.records.trials)))
                meter.crown(writer.records.trials[winner].params)
        finally:
            writer.close()
    return meter


def budget_points(budget: int, count: int) -> Sequence[int]:
    """Epochs at which regret is read off: even steps up to the budget."""
    return np.linspace(budget / count, budget, count).astype(int).tolist()
