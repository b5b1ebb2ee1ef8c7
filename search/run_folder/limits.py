"""The limits of a run: the part of its plan that may change when it is resumed."""

from __future__ import annotations

from dataclasses import dataclass

from search.run_folder.rungs import AUTO


@dataclass(frozen=True, kw_only=True)
class Limits:
    """What may be changed when a run is resumed: it does not change what a result means.

    Attributes:
        trials: to start, failed ones included.
        hours: wall time of the whole job, the finals included; None for no limit.
        epochs_total: epochs over all trials of the search; None for no limit.
        all_trials: start them all, even when those so far say that there is nothing to gain.
        concurrency: trials at once; 0 for as many as fit.
        gpus_per_trial: None for one where the cluster has any, else none; "auto" for a share that is measured.
    """

    trials: int = 50
    hours: float | None = None
    epochs_total: int | None = None
    all_trials: bool = False
    address: str | None = None
    concurrency: int = 0
    cpus_per_trial: float = 1.0
    gpus_per_trial: float | str | None = None

    def problems(self) -> list[str]:
        """What is out of bounds, one line each."""
        rules = [
            (self.trials >= 1, f"--trials must be at least 1; got {self.trials}"),
            (self.hours is None or self.hours > 0, f"--hours must be above 0; got {self.hours}"),
            (
                self.epochs_total is None or self.epochs_total >= 1,
                f"--epochs-total must be at least 1; got {self.epochs_total}",
            ),
            (self.concurrency >= 0, f"--concurrency must be at least 0; got {self.concurrency}"),
            (self.cpus_per_trial > 0, f"--cpus-per-trial must be above 0; got {self.cpus_per_trial}"),
            (
                self.gpus_per_trial in (None, AUTO)
                or (not isinstance(self.gpus_per_trial, str) and (self.gpus_per_trial or 0) >= 0),
                f"--gpus-per-trial must be at least 0, or {AUTO}; got {self.gpus_per_trial}",
            ),
            (
                not (self.address or "").startswith("ray://"),
                f"--address must be that of a cluster that this machine is part of, such as auto; got {self.address}. "
                f"Through ray:// (Ray Client), Ray Tune would judge trials and write records on the cluster's head, "
                f"without this machine's run folder and features: run the search there, by `ray submit`, `ray exec` or "
                f"`ray job submit` (docs/clusters.md)",
            ),
        ]
        return [message for holds, message in rules if not holds]
