"""A whole search on a simulated cluster."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import optuna

from search.run_folder.paths import RECORDS_FILE
from search.run_folder.records import RunRecords
from search.run_folder.records_writer import RecordWriter
from search.run_folder.scoring import EARLIER_SCORING
from search.simulation.simulate import CurveOf, SimulatedClock, simulate
from search.study.asha import Asha
from search.study.search import Search
from spaces.knobs import Space


def simulated_search(
    folder: Path, space: Space, curve_of: CurveOf, asha: Asha, *, workers: int, **options: Any
) -> RunRecords:
    """One search with an Optuna study in memory; its records are left in `folder`.

    `options` are `trials`, `seed`, `sampler` and more of `Search`; `chunk_seconds` and `setup_seconds` of `simulate`;
    and `scoring`.
    """
    timing = {name: options.pop(name) for name in ("chunk_seconds", "setup_seconds") if name in options}
    clock = SimulatedClock()
    scoring = options.pop("scoring", EARLIER_SCORING)
    writer = RecordWriter(folder / RECORDS_FILE, clock=clock, scoring=scoring)
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = optuna.create_study(direction="maximize")
    arguments: dict[str, Any] = {"sampler": "tpe", "seed": 0, "fixed": {}, **options}
    try:
        writer.session()
        search = Search(study=study, space=space, writer=writer, asha=asha, **arguments)
        simulate(search, curve_of, workers=workers, clock=clock, **timing)
    finally:
        writer.close()
    return writer.records
