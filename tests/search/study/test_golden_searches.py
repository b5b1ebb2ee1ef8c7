"""Whole searches that propose, judge and order trials as version 0.1.0 did, on a simulated cluster.

golden_searches.json was written by that version. Nothing here is trained: curves come from a table, and the clock is
simulated, so that no machine's arithmetic decides.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from search.run_folder.paths import RECORDS_FILE
from search.simulation.curve_tables import Curve, CurveTable
from search.study.asha import Asha
from spaces.knobs import Value
from tests.search.simulated import simulated_search

GOLDEN = json.loads(Path(__file__).with_name("golden_searches.json").read_text(encoding="utf-8"))
TABLE = CurveTable.read(Path(__file__).parents[3] / "benchmarks" / "curves" / "mlp-ravdess.jsonl")
EPOCHS = TABLE.header.epochs


def rounded(params: Mapping[str, Value]) -> dict[str, Value]:
    """Six digits of every number: the last bits of a logarithm differ between machines."""
    return {name: float(f"{value:.6g}") if isinstance(value, float) else value for name, value in params.items()}


def curve_of(params: Mapping[str, Value]) -> Curve:
    return TABLE.curve_of(rounded(params))


def order_of(folder: Path) -> list[list[Any]]:
    """Starts and ends of trials and the moment at which the first rung was found, as the records order them."""
    events = [json.loads(line) for line in (folder / RECORDS_FILE).read_text().splitlines()]
    return [
        [event["event"], event["epochs" if event["event"] == "grace" else "trial"]]
        for event in events
        if event["event"] in ("trial_start", "trial_end", "grace")
    ]


@pytest.mark.parametrize(
    ("name", "grace_epochs", "workers", "chunk_seconds", "seed"),
    [
        ("tpe, one worker, first rung at a fifth", math.ceil(EPOCHS / 5), 1, math.inf, 3),
        ("tpe, four workers, first rung found", None, 4, 1.0, 4),
    ],
)
def test_a_search_proposes_and_prunes_as_the_first_version_did(
    name: str, grace_epochs: int | None, workers: int, chunk_seconds: float, seed: int, tmp_path: Path
) -> None:
    golden = GOLDEN[name]
    asha = Asha(EPOCHS, grace_epochs, 3)
    records = simulated_search(
        tmp_path, TABLE.space, curve_of, asha, workers=workers, trials=30, seed=seed, chunk_seconds=chunk_seconds
    )
    for trial, wanted in zip(records.trials.values(), golden["trials"], strict=True):
        assert trial.params == pytest.approx(wanted["params"], rel=1e-5)
        assert (trial.origin, trial.state, trial.reason) == (wanted["origin"], wanted["state"], wanted["reason"])
        assert (len(trial.epochs), trial.worker) == (wanted["epochs"], wanted["worker"])
    assert order_of(tmp_path) == golden["order"]
