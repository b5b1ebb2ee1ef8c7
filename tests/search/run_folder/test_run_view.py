"""Counts that grow with the records are those that counting all trials gives."""

from __future__ import annotations

import math
from collections import Counter
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from search.run_folder.records import RunRecords, TrialState
from search.run_folder.records_reader import apply_event
from search.run_folder.standing import Standing

EPOCHS = 4
SCORES = st.sampled_from([0.1, 0.2, 0.3, math.nan])


@st.composite
def searches(draw: st.DrawFn) -> list[dict[str, Any]]:
    """Events of trials that run beside one another and end in all ways, some of them never."""
    events: list[dict[str, Any]] = []
    running: dict[int, int] = {}
    started = 0
    for _ in range(draw(st.integers(0, 40))):
        action = draw(st.sampled_from(["start", "epoch", "epoch", "end"]))
        if action == "start" or not running:
            events.append({"event": "trial_start", "trial": started, "params": {}, "origin": "sampler"})
            running[started] = 0
            started += 1
            continue
        trial = draw(st.sampled_from(sorted(running)))
        if action == "end":
            state = draw(st.sampled_from(["COMPLETE", "PRUNED", "FAIL"]))
            events.append({"event": "trial_end", "trial": trial, "state": state, "reason": ""})
            del running[trial]
        elif running[trial] < EPOCHS:
            running[trial] += 1
            values = dict.fromkeys(("train_loss", "val_loss", "val_war", "learning_rate", "seconds"), 0.5)
            report = {"epoch": running[trial], "val_uar": draw(SCORES), **values}
            events.append({"event": "epochs", "trial": trial, "worker": "w", "setup_seconds": 0.0, "reports": [report]})
    return events


@given(events=searches(), looks=st.randoms(use_true_random=False))
def test_what_is_counted_on_the_way_is_what_counting_everything_gives(events: list[dict[str, Any]], looks: Any) -> None:
    records = RunRecords()
    standing = Standing(records)
    for event in events:
        apply_event(records, {"time": 0.0, "restored": 0, **event})
        if looks.random() < 0.5:
            standing.update()
            check(standing, records)
    standing.update()
    check(standing, records)


def check(standing: Standing, records: RunRecords) -> None:
    trials = list(records.trials.values())
    states = Counter(trial.state for trial in trials)
    counted = standing.tally(EPOCHS)
    assert (counted.running, counted.complete, counted.pruned, counted.failed) == tuple(
        states[state] for state in (TrialState.RUNNING, TrialState.COMPLETE, TrialState.PRUNED, TrialState.FAIL)
    )
    assert counted.epochs_trained == sum(len(trial.epochs) for trial in trials)
    assert counted.epochs_saved == sum(EPOCHS - len(t.epochs) for t in trials if t.state is TrialState.PRUNED)
    running = [trial for trial in trials if trial.state is TrialState.RUNNING]
    assert standing.running == running
    assert standing.epochs_running == sum(len(trial.epochs) for trial in running)
    scores = [t.value for t in trials if t.state is not TrialState.FAIL and math.isfinite(t.value)]
    earliest = next((t for t in trials if scores and t.state is not TrialState.FAIL and t.value == max(scores)), None)
    assert standing.best is earliest
