"""`sbatch clusters/slurm.sbatch` on two nodes of a real Slurm: to the end, and through a preemption."""

from __future__ import annotations

import json
import secrets
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cluster.machines import (
    ENDLESS,
    WORKER_LIMITS,
    await_true,
    check_exact,
    enough_trials,
    epochs_of,
    records_of,
    workers_of,
)
from tests.cluster.slurm import NODES, Slurm, slurm_up

pytestmark = pytest.mark.cluster

HERE = ("--cpus-per-task=1", "--mem=2G")
"""Of each node, which else would take the whole machine for its own."""
SMALL = ("--finalists", "1", "--seeds", "1", "--folds", "1")


@pytest.fixture(scope="module")
def slurm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Slurm]:
    with slurm_up(tmp_path_factory.mktemp("slurm")) as made:
        yield made


def submit_search(slurm: Slurm, run: Path, *options: str) -> str:
    """The job of a search, whose log lies beside its run folder."""
    asked = [str(run), "--data", "demo", "--cache-dir", str(slurm.hosts.shared / "cache"), *SMALL, *options]
    return slurm.submit(*HERE, f"--output={log_of(run)}", "clusters/slurm.sbatch", *asked)


def log_of(run: Path) -> Path:
    return run.with_suffix(".log")


def await_state(slurm: Slurm, job: str, state: str, seconds: float) -> None:
    await_true(f"job {job} is {state}", lambda: slurm.fact(job, "JobState") == state, seconds)


def test_a_job_searches_on_all_of_its_nodes_and_ends(slurm: Slurm) -> None:
    run = slurm.hosts.shared / "whole"
    job = submit_search(slurm, run, "--model", "mlp", "--trials", "6")
    await_true("the job has ended", lambda: slurm.fact(job, "JobState") not in ("PENDING", "RUNNING"), 600)
    shown = log_of(run).read_text(encoding="utf-8")
    assert slurm.fact(job, "JobState") == "COMPLETED", shown
    assert sum(check_exact(run, 6).values()) == 6
    assert workers_of(run) == {*NODES}
    assert 0 <= json.loads((run / "result.json").read_text(encoding="utf-8"))["test"]["uar"]["mean"] <= 1
    assert "goes back into the queue" not in shown


def test_a_preempted_job_saves_what_it_has_goes_back_into_the_queue_and_resumes(slurm: Slurm) -> None:
    """The search would go on for ever, so that it is under way whenever the other job comes."""
    hosts, run = slurm.hosts, slurm.hosts.shared / "preempted"
    job = submit_search(slurm, run, "--model", "cnn_lstm", "--max-epochs", "30", *ENDLESS)
    await_true("it trains", lambda: epochs_of(run) > 0, 300)
    urgent = slurm.submit("--partition=urgent", "--nodes=2", "--exclusive", "--output=/dev/null", "--wrap=sleep 2")
    await_true("the other job has the nodes", lambda: slurm.fact(urgent, "JobState") in ("RUNNING", "COMPLETED"), 290)
    shown = log_of(run).read_text(encoding="utf-8")
    assert "goes back into the queue and resumes" in shown
    assert f"ser search --resume {run}" in " ".join(shown.split())  # the driver's own last words: it ended by itself
    saved = {number: list(trial.epochs) for number, trial in records_of(run).trials.items()}
    assert slurm.fact(job, "Restarts") == "1"

    slurm.on_head(f"scontrol update jobid={job} StartTime=now")  # of itself it would begin two minutes later
    await_true("the search goes on", lambda: epochs_of(run) > sum(map(len, saved.values())), 300)
    for number, epochs in saved.items():
        assert records_of(run).trials[number].epochs[: len(epochs)] == epochs
    slurm.on_head(f"scancel {job}")
    await_state(slurm, job, "CANCELLED", 120)  # and not back in the queue
    assert slurm.fact(job, "Restarts") == "1"
    trials = enough_trials(run)
    resumed = f"ser-search --resume {run} --trials {trials} --cache-dir {hosts.shared / 'cache'}"
    token = secrets.token_hex(32)  # a Ray of its own, without Slurm
    alone = f"ray stop; export RAY_AUTH_TOKEN={token}; ray start --head {WORKER_LIMITS} && {resumed} && ray stop"
    hosts.run("worker1", alone, timeout=1800)
    assert sum(check_exact(run, trials).values()) == trials


def test_without_a_run_folder_the_job_says_what_is_missing(slurm: Slurm) -> None:
    log = slurm.hosts.shared / "nothing.log"
    job = slurm.submit(*HERE, f"--output={log}", "clusters/slurm.sbatch")
    await_state(slurm, job, "FAILED", 60)
    assert "name the run folder first, then the options of ser search" in log.read_text(encoding="utf-8")
