"""Who takes part in benchmarks/overhead.py: our search and its peers, each as its own program would run it.

Each runs in a process of its own, with one worker, and says when its trials ended. All search over the perceptron's
knobs with at most `EPOCHS` epochs a trial and successive halving from epoch `GRACE`. Ours trains the perceptron on the
demo corpus and subtracts the training that its records tell; the others' training costs nothing.
"""

from __future__ import annotations

import contextlib
import io
import math
import multiprocessing
import os
import random
import signal
import threading
import time
import warnings
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from queue import Empty

import numpy as np
import optuna

from search.study.samplers import suggest
from spaces import space_for

SPACE = space_for("mlp")
EPOCHS, GRACE, REDUCTION = 9, 2, 3
CPU_SAMPLE_SECONDS = 0.2


@dataclass(frozen=True, kw_only=True)
class Marks:
    """The trials of one contestant in the order in which they ended, each array one long per trial.

    Attributes:
        ended: seconds since 1970.
        trained: seconds of training, and of building model and data, inside the trial.
        cpu: processor seconds of the driver process until then, all its threads.
    """

    ended: np.ndarray
    trained: np.ndarray
    cpu: np.ndarray

    @property
    def wall_beyond_training(self) -> np.ndarray:
        """Seconds from the end of one trial to the end of the next, less the training; (trials - 1,)."""
        return np.diff(self.ended) - self.trained[1:]

    @property
    def driver_cpu(self) -> np.ndarray:
        """Processor seconds of the driver per trial; (trials - 1,). True on average over many, since it is sampled."""
        return np.diff(self.cpu)


Run = Callable[[int, float, Path], list[tuple[float, float]]]
"""(trials, seconds at most, an empty folder) -> (time of its end, seconds trained) of every trial."""


def learning_curve(params: Mapping[str, object], epoch: int) -> float:
    """A score in [0, 1] that grows with the epochs towards what the configuration is worth."""
    quality = random.Random(repr(sorted(params.items()))).random()
    return quality * (1 - math.exp(-epoch / 3))


# -- ours --------------------------------------------------------------------------------------------------------------


def ours(sampler: str) -> Run:
    """The command line in full, with a live view drawn as in a terminal; Ctrl-C when the time is up."""

    def run(trials: int, seconds: float, folder: Path) -> list[tuple[float, float]]:
        from search.run import app
        from search.run_folder.paths import RECORDS_FILE
        from search.run_folder.records_reader import read_records

        os.environ["FORCE_COLOR"] = "1"  # rich then draws the table four times a second
        options = {
            "--model": "mlp", "--data": "demo", "--trials": trials, "--max-epochs": EPOCHS, "--grace-epochs": GRACE,
            "--reduction": REDUCTION, "--sampler": sampler, "--concurrency": 1, "--finalists": 1, "--seeds": 1,
            "--run-dir": folder / "run",
        }  # fmt: skip
        timer = threading.Timer(seconds, os.kill, (os.getpid(), signal.SIGINT))
        timer.daemon = True
        timer.start()
        code = app([str(word) for pair in options.items() for word in pair], standalone_mode=False)
        if code not in (None, 130):
            raise RuntimeError(f"the search ended with code {code}")
        records = read_records(folder / "run" / RECORDS_FILE)
        return sorted((t.ended, t.train_seconds + t.setup_seconds) for t in records.trials.values() if t.ended)

    return run


# -- Ray Tune ----------------------------------------------------------------------------------------------------------


def define_by_run(trial: optuna.Trial) -> None:
    """The knobs as OptunaSearch takes them; here, since Ray Tune pickles it by name every ten seconds."""
    suggest(trial, SPACE)


def ray_tune(*, reuse_actors: bool) -> Run:
    """Ray Tune with OptunaSearch and ASHA; all else as it comes, but for checkpoints, which are left out."""

    def run(trials: int, seconds: float, folder: Path) -> list[tuple[float, float]]:
        from ray import tune
        from ray.tune.schedulers import ASHAScheduler
        from ray.tune.search.optuna import OptunaSearch

        ends: list[float] = []

        class Curve(tune.Trainable):
            def setup(self, config: dict[str, object]) -> None:
                self.params = dict(config)

            def reset_config(self, new_config: dict[str, object]) -> bool:
                self.params = dict(new_config)
                return True

            def step(self) -> dict[str, object]:
                value = learning_curve(self.params, self.iteration + 1)
                return {"val_uar": value, "done": self.iteration + 1 >= EPOCHS}

        class Ends(tune.Callback):
            def on_trial_complete(self, iteration: int, trials: object, trial: object, **info: object) -> None:
                ends.append(time.time())

        tune.Tuner(
            tune.with_resources(Curve, {"cpu": 1}),
            tune_config=tune.TuneConfig(
                metric="val_uar",
                mode="max",
                search_alg=OptunaSearch(define_by_run, metric="val_uar", mode="max", seed=0),
                scheduler=ASHAScheduler(max_t=EPOCHS, grace_period=GRACE, reduction_factor=REDUCTION),
                num_samples=trials,
                max_concurrent_trials=1,
                reuse_actors=reuse_actors,
                time_budget_s=seconds,
            ),
            run_config=tune.RunConfig(
                storage_path=str(folder),
                name="tune",
                callbacks=[Ends()],
                checkpoint_config=tune.CheckpointConfig(checkpoint_at_end=False),
                verbose=0,
            ),
        ).fit()
        return [(end, 0.0) for end in ends]

    return run


# -- Optuna ------------------------------------------------------------------------------------------------------------


def optuna_alone(storage: str) -> Run:
    """Optuna with its default sampler and its successive halving, in one process."""

    def run(trials: int, seconds: float, folder: Path) -> list[tuple[float, float]]:
        from optuna.storages import JournalStorage
        from optuna.storages.journal import JournalFileBackend

        optuna.logging.set_verbosity(optuna.logging.ERROR)
        ends: list[float] = []

        def objective(trial: optuna.Trial) -> float:
            params = suggest(trial, SPACE)
            for epoch in range(1, EPOCHS + 1):
                trial.report(learning_curve(params, epoch), epoch)
                if trial.should_prune():
                    raise optuna.TrialPruned
            return learning_curve(params, EPOCHS)

        study = optuna.create_study(
            direction="maximize",
            storage=f"sqlite:///{folder / 'study.db'}"
            if storage == "sqlite"
            else JournalStorage(JournalFileBackend(str(folder / "study.journal"))),
            sampler=optuna.samplers.TPESampler(seed=0),
            pruner=optuna.pruners.SuccessiveHalvingPruner(min_resource=GRACE, reduction_factor=REDUCTION),
        )
        study.optimize(
            objective, n_trials=trials, timeout=seconds, callbacks=[lambda study, trial: ends.append(time.time())]
        )
        return [(end, 0.0) for end in ends]

    return run


CONTESTANTS: Mapping[str, tuple[str, Run]] = {
    "ours": ("ours", ours("tpe")),
    "ours-random": ("ours, random sampler", ours("random")),
    "tune": ("Ray Tune + OptunaSearch + ASHA", ray_tune(reuse_actors=False)),
    "tune-reuse": ("the same, actors reused", ray_tune(reuse_actors=True)),
    "optuna-journal": ("Optuna alone, journal file", optuna_alone("journal")),
    "optuna-sqlite": ("Optuna alone, SQLite", optuna_alone("sqlite")),
}
"""Name as `--only` takes it -> (title, how it runs)."""


# -- a process for each ------------------------------------------------------------------------------------------------


def measure(name: str, trials: int, seconds: float, folder: Path) -> Marks:
    """Run a contestant in a process of its own.

    Raises:
        RuntimeError: the process ended without telling its trials.
    """
    context = multiprocessing.get_context("spawn")
    answers: multiprocessing.Queue[Marks] = context.Queue()
    process = context.Process(target=_measure_here, args=(name, trials, seconds, folder, answers))
    process.start()
    while True:
        try:
            marks = answers.get(timeout=1.0)
            break
        except Empty:
            if not process.is_alive():
                raise RuntimeError(f"{name} ended with exit code {process.exitcode}; see above") from None
    process.join()
    return marks


def _measure_here(name: str, trials: int, seconds: float, folder: Path, answers: multiprocessing.Queue[Marks]) -> None:
    warnings.simplefilter("ignore")
    out = io.StringIO()
    try:
        with contextlib.redirect_stdout(out), _cpu_samples() as samples:
            ends = CONTESTANTS[name][1](trials, seconds, folder)
    except BaseException:
        print(out.getvalue()[-4000:])
        raise
    if not ends:
        raise RuntimeError(f"{name} ended no trial within {seconds:.0f} s")
    ended, trained = (np.array(column) for column in zip(*ends, strict=True))
    times, cpu = (np.array(column) for column in zip(*samples, strict=True))
    answers.put(Marks(ended=ended, trained=trained, cpu=np.interp(ended, times, cpu)))


@contextlib.contextmanager
def _cpu_samples() -> Iterator[list[tuple[float, float]]]:
    """(seconds since 1970, processor seconds of this process) every now and then."""
    samples = [(time.time(), time.process_time())]
    done = threading.Event()

    def sample() -> None:
        while not done.wait(CPU_SAMPLE_SECONDS):
            samples.append((time.time(), time.process_time()))

    thread = threading.Thread(target=sample, daemon=True)
    thread.start()
    try:
        yield samples
    finally:
        done.set()
        thread.join()
        samples.append((time.time(), time.process_time()))
