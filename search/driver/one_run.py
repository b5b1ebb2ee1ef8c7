"""One run from its plan to its result: features, search, finals, refit, one reading of the test set."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import optuna
import torch
from filelock import FileLock, Timeout
from rich.console import Console

from search.driver.space import feature_settings
from search.driver.time_budget import search_clock
from search.finals.finalists import (
    FinalJobs,
    check_refits,
    choose_finalists,
    choose_winner,
    finalist_scores,
    refit_epochs,
)
from search.finals.insight import write_insight
from search.finals.result import make_result
from search.finals.test_set import ledger_readings, read_test_set
from search.interruption import Interrupted, Interruption, interrupts
from search.jobs import Chain, JobSource
from search.pages.write import write_dashboard
from search.run_folder.paths import (
    CHECKPOINTS_FOLDER,
    DASHBOARD_FILE,
    LOCK_FILE,
    RECORDS_FILE,
    RESULT_FILE,
    model_folder,
)
from search.run_folder.plan import SearchPlan
from search.run_folder.records import Phase, RecordWriter, TrialRecord
from search.study.asha import Asha
from search.study.search import Search
from search.study.storage import open_study, sole_writer
from search.terminal.progress import Progress, Stage
from search.workers.computed_features import compute_on_workers, worth_spreading
from search.workers.context import WorkerContext
from search.workers.gpu_shares import measure, share_requests
from search.workers.placement import Demand, Request, gpu_kinds
from search.workers.ray_session import check_fits, gpus_available, live_nodes, on_gpus, ray_session, trials_at_once
from search.workers.run_jobs import run_jobs
from search.workers.shared_features import clear_stores, local_store_bytes, share_stores
from ser_core.architectures import default_config
from ser_core.clips import Manifest
from ser_core.config import ConfigError, FeatureConfig
from ser_core.ensemble import ENSEMBLE_FILE, ensemble_document
from ser_core.features.store import Compute, FeatureStore, feature_store
from ser_core.features.transforms import settings_key
from ser_core.splits import Fold, Split, inner_folds
from ser_core.whole_file import write_json

DASHBOARD_SECONDS = 30.0
DASHBOARD_SHARE = 0.02
"""The page of a running search is written at most this often, and for at most this share of the driver's time."""


@dataclass(frozen=True, kw_only=True)
class Data:
    """The corpus of a run, divided, with its features by `settings_key`."""

    manifest: Manifest
    split: Split
    stores: Mapping[str, FeatureStore]


def execute(
    plan: SearchPlan,
    folder: Path,
    manifest: Manifest,
    split: Split,
    *,
    storage: str,
    cache_dir: Path,
    console: Console,
    allow_second: bool,
) -> dict[str, Any]:
    """Run or resume the plan in `folder` and return the result, which is also written there.

    Args:
        storage: the plan's, with the password that a plan does not keep.

    Raises:
        Interrupted: after Ctrl-C or a request in the folder, when the workers have stopped.
        ConfigError: another process works in the folder, or the study cannot be used.
        FinalsError, SearchStopped: the run cannot end with a number.
        OSError: a disk that is full or cannot be written.
    """
    with _locked(folder), sole_writer(storage), interrupts() as by_signal:
        interrupted = Interruption(folder, by_signal)
        writer = RecordWriter(folder / RECORDS_FILE)
        try:
            study, flush = open_study(folder, storage, is_new=not writer.records.trials)
            plan.save(folder)
            writer.write("session")
            with Progress(plan, writer.records, console) as progress:
                run = _Run(plan, folder, writer, progress, interrupted)
                data = Data(manifest=manifest, split=split, stores=run.features(manifest, cache_dir))
                run.train(data, study, flush)
                return run.test(data, allow_second)
        finally:
            writer.close()


class _Run:
    """The stages, in order, with what they share."""

    def __init__(
        self, plan: SearchPlan, folder: Path, writer: RecordWriter, progress: Progress, interrupted: Callable[[], bool]
    ) -> None:
        self._plan, self._folder, self._writer, self._progress = plan, folder, writer, progress
        self._interrupted = interrupted
        self._stopping = False
        self._dashboard_due = time.monotonic() + DASHBOARD_SECONDS
        self._grace_told = writer.records.grace

    def features(self, manifest: Manifest, cache_dir: Path) -> dict[str, FeatureStore]:
        """Every kind of features that the space can ask for, by `settings_key`."""
        self._progress.phase(Stage.FEATURES)
        stores = {}
        for key, config in feature_settings(self._plan.model, self._plan.knobs, self._plan.fixed).items():
            stores[key] = feature_store(
                manifest,
                config.features,
                cache_dir=cache_dir,
                compute=self._compute(len(manifest.clips), config.features),
                progress=self._features_done,
            )
            if self._interrupted():  # also where they came from the cache
                raise Interrupted
        return stores

    def _compute(self, clips: int, settings: FeatureConfig) -> Compute | None:
        """Who computes features: the workers of a cluster where there is one and it pays, else this process."""
        address, gpus = self._plan.limits.address, self._plan.limits.gpus_per_trial
        if address is None or not worth_spreading(clips, settings):
            return None
        return partial(compute_on_workers, address=address, on_gpus=bool(gpus), tell=self._progress.message)

    def _features_done(self, done: int, clips: int) -> None:
        self._progress.features(done, clips)
        if self._interrupted():
            raise Interrupted

    def train(self, data: Data, study: optuna.Study, flush: Callable[[], None]) -> None:
        """Search, finals and refit on Ray; only development clips go there."""
        limits = self._plan.limits
        store_bytes = local_store_bytes(data.stores, data.split.development)
        with ray_session(limits.address, object_store_bytes=store_bytes):
            gpus = limits.gpus_per_trial
            gpus = float(gpus_available()) if gpus is None else gpus
            context = self._context(data, "cuda" if gpus else "cpu")
            demand = Demand(
                requests=self._requests(gpus, context),
                concurrency=limits.concurrency,
                surplus=int(limits.address is not None),
            )
            check_fits(demand)
            stages = self._stages(study, flush, lambda: trials_at_once(demand))
            run_jobs(Chain(stages), context, demand, tell=self._progress.message)
        if self._interrupted():
            raise Interrupted
        # Every job has ended: what is left here was saved by workers of an earlier session as they were sent home.
        shutil.rmtree(self._folder / CHECKPOINTS_FOLDER, ignore_errors=True)
        clear_stores(self._folder)

    def test(self, data: Data, allow_second: bool) -> dict[str, Any]:
        """Read the test set with the refitted winner, and write the result and the last page."""
        plan, records = self._plan, self._writer.records
        finalists = choose_finalists(records, plan.finalists)
        spreads = finalist_scores(records, [trial.number for trial in finalists])
        winner = choose_winner(spreads)
        check_refits(records, winner, plan.seeds)
        self._progress.phase(Stage.TEST)
        models = [model_folder(winner, seed) for seed in range(1, plan.seeds + 1)]
        settings = default_config(plan.model, {**plan.fixed, **records.trials[winner].params}).features
        store = data.stores[settings_key(settings)]
        test = read_test_set(
            self._folder,
            models,
            data.manifest,
            data.split,
            store,
            allow_second=allow_second,
            device="cuda" if torch.cuda.is_available() else "cpu",
        )
        readings = len(ledger_readings(self._folder))
        result = make_result(plan, records, finalists, spreads, winner, test, readings=readings, models=models)
        write_json(self._folder / RESULT_FILE, result)
        seeds = {Path(name).name: 1 / len(models) for name in models}
        write_json((self._folder / models[0]).parent / ENSEMBLE_FILE, ensemble_document(seeds))
        from search.finals.model_card import write_model_cards  # its libraries take two seconds to import

        write_model_cards(self._folder, result)
        write_insight(self._folder, models[0], data.manifest, data.split, store, tell=self._progress.message)
        self._write_dashboard()
        return result

    # -- stages ------------------------------------------------------------------------------------------------------

    def _requests(self, gpus: float | str, context: WorkerContext) -> Sequence[Request]:
        """What a trial asks for: the same everywhere, or a share of each kind of GPU that was measured on it."""
        plan, cpus = self._plan, self._plan.limits.cpus_per_trial
        if not isinstance(gpus, str):
            return [Request(cpus=cpus, gpus=gpus)]
        kinds = gpu_kinds(live_nodes())
        if not kinds:
            raise ConfigError(
                "--gpus-per-trial auto measures on the GPUs that the cluster has now, and Ray sees none; give a "
                "number, or start a machine with a GPU first"
            )
        self._progress.message("Measuring how much of a GPU a trial needs …")
        measured = on_gpus(kinds, cpus, partial(measure, context, plan.knobs, plan.fixed), self._interrupted)
        if self._interrupted():
            raise Interrupted
        return share_requests(cpus, measured, live_nodes(), self._progress.message)

    def _context(self, data: Data, device: str) -> WorkerContext:
        rows = data.split.development

        def within(fold: Fold) -> Fold:
            return Fold(fit=np.searchsorted(rows, fold.fit), evaluate=np.searchsorted(rows, fold.evaluate))

        search = inner_folds(data.manifest, data.split, self._plan.folds, self._plan.seed)
        return WorkerContext(
            run_folder=str(self._folder.resolve()),
            model=self._plan.model,
            stores=share_stores(data.stores, rows, self._folder, self._progress.message),
            folds={"search": [within(fold) for fold in search], "refit": [within(data.split.refit_fold())]},
            device=device,
            threads=max(1, int(self._plan.limits.cpus_per_trial)),
            about={
                "corpus": self._plan.corpus,
                "split": self._plan.split,
                "speaker_independent": self._plan.speaker_independent,
                "command": self._plan.command,
            },
        )

    def _stages(
        self, study: optuna.Study, flush: Callable[[], None], concurrency: Callable[[], int]
    ) -> Iterator[JobSource]:
        self._progress.phase(Stage.SEARCH)
        yield self._search(study, flush, concurrency)
        records, plan = self._writer.records, self._plan
        finalists = choose_finalists(records, plan.finalists)
        self._progress.phase(Stage.FINALS)
        yield self._final_jobs(Phase.FINALIST, finalists, plan.max_epochs)
        winner = choose_winner(finalist_scores(records, [trial.number for trial in finalists]))
        self._progress.phase(Stage.REFIT)
        yield self._final_jobs(Phase.REFIT, [records.trials[winner]], refit_epochs(records, winner))

    def _search(self, study: optuna.Study, flush: Callable[[], None], concurrency: Callable[[], int]) -> Search:
        plan, limits = self._plan, self._plan.limits
        return Search(
            study=study,
            space=plan.knobs,
            writer=self._writer,
            asha=Asha(plan.max_epochs, plan.first_rung, plan.reduction),
            sampler=plan.sampler,
            seed=plan.seed,
            fixed=plan.fixed,
            trials=limits.trials,
            warm=plan.warm_start.configurations if plan.warm_start is not None else (),
            epochs_total=limits.epochs_total,
            time_left=search_clock(plan, self._writer.records, concurrency),
            flush=flush,
            interrupted=self._tick,
        )

    def _final_jobs(self, phase: Phase, trials: list[TrialRecord], last_epoch: int) -> FinalJobs:
        return FinalJobs(
            phase=phase,
            trials=trials,
            seeds=self._plan.seeds,
            seed=self._plan.seed,
            fixed=self._plan.fixed,
            writer=self._writer,
            last_epoch=last_epoch,
            interrupted=self._tick,
        )

    # -- between the epochs ------------------------------------------------------------------------------------------

    def _tick(self) -> bool:
        self._progress.update()
        if self._writer.records.grace is not self._grace_told:
            self._grace_told = self._writer.records.grace
            self._progress.message(f"ASHA: {self._grace_told}")
        if time.monotonic() >= self._dashboard_due:
            self._write_dashboard()
        if self._interrupted() and not self._stopping:
            self._stopping = True
            self._progress.message("Stopping: the workers end their epoch and save. Ctrl-C again ends them at once.")
        return self._stopping

    def _write_dashboard(self) -> None:
        """Draw the page. It can be drawn again at any time, so no search and no result may be lost for it."""
        began = time.monotonic()
        try:
            write_dashboard(self._folder)
        except Exception as error:
            self._progress.message(
                f"{DASHBOARD_FILE} could not be drawn ({type(error).__name__}: {error}); the run goes on. "
                f"python search/dashboard.py {self._folder} draws it again"
            )
        took = time.monotonic() - began
        self._dashboard_due = began + max(DASHBOARD_SECONDS, took / DASHBOARD_SHARE)


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    folder.mkdir(parents=True, exist_ok=True)
    lock = FileLock(folder / LOCK_FILE)
    try:
        lock.acquire(timeout=0)
    except Timeout as error:
        raise ConfigError(
            f"another process works in {folder}; a run has one driver: wait, or name another folder"
        ) from error
    try:
        yield
    finally:
        lock.release()
