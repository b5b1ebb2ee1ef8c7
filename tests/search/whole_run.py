"""A whole run in this process: all of the driver's own path, its jobs one after another instead of on Ray's workers."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from io import StringIO
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console

from search.driver.one_run import Means
from search.driver.options import Options
from search.driver.tune import tune_one
from search.jobs import Chain, Job
from search.run_folder.limits import Limits
from search.terminal.progress import Progress
from search.workers._job_run import JobRun
from search.workers.context import WorkerContext
from search.workers.pool import Log, Training, WorkerPool
from ser_core.config import FeatureConfig
from ser_core.features.computing import compute_in_threads
from ser_core.features.store import CorpusFeatures, FeatureStore
from ser_core.splits import Fold
from tests.search.workers.contexts import StoreHere

QUICK: dict[str, Any] = {"trials": 2, "finalists": 1, "seeds": 1, "folds": 1, "max_epochs": 2}
"""Options of a small run."""


def tune_here(cache: Path, **options: Any) -> tuple[Path, str]:
    """Do the run that the options ask for -> its folder, and what the terminal showed.

    Raises:
        UserError: see `search.driver.tune.tune_one`.
    """
    console = Console(file=StringIO(), width=400)
    asked = Options(**{**QUICK, "cache_dir": cache, **options})
    means = Means(
        workers=_WorkersHere(),
        by_signal=lambda: False,
        show=lambda plan, records: Progress(plan, records, console),
    )
    folder = tune_one(asked, console, means)
    return folder, console.file.getvalue()  # type: ignore[attr-defined]


@dataclass(frozen=True)
class _MadeHere:
    """Features that were not computed before the search."""

    corpus: CorpusFeatures
    rows: np.ndarray

    def store(self, settings: FeatureConfig, threads: int) -> FeatureStore:
        return self.corpus.store(settings, self.rows, compute=partial(compute_in_threads, threads=threads))


class _PoolHere(WorkerPool):
    def __init__(self, context: WorkerContext) -> None:
        self._context = context

    def trials_at_once(self) -> int:
        return 1

    def run(self, source: Chain) -> None:
        while isinstance(job := source.next_job(), Job):
            run = JobRun(job, self._context, lambda config: self._context.open_store(config.features))
            while source.report(run.step()):
                pass
            run.close()


class _WorkersHere:
    """See `search.workers.pool.Workers`."""

    @contextmanager
    def pool(
        self, training: Training, limits: Limits, *, log: Log, interrupted: Callable[[], bool]
    ) -> Iterator[_PoolHere]:
        rows = training.development

        def within(fold: Fold) -> Fold:
            return Fold(fit=np.searchsorted(rows, fold.fit), evaluate=np.searchsorted(rows, fold.evaluate))

        yield _PoolHere(
            WorkerContext(
                run_folder=str(training.run_folder.resolve()),
                model=training.model,
                stores={key: StoreHere(store.select(rows)) for key, store in training.stores.items()},
                features=_MadeHere(training.features, rows),
                folds={name: [within(fold) for fold in folds] for name, folds in training.folds.items()},
                device="cpu",
                threads=max(1, int(limits.cpus_per_trial)),
                about=training.about,
            )
        )
