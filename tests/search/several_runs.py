"""A made run that chooses between two architectures: small, and known by hand."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

from search.study.defaults import settings_of
from spaces import space_for
from spaces.knobs import knob_to_json
from spaces.several import chosen_with, joined
from tests.search.run_maker import RunMaker

NAMES = ("mlp", "shallow_cnn")
TRIALS = (
    ("mlp", 0.40, 6, "COMPLETE", 0.5),
    ("shallow_cnn", 0.60, 9, "COMPLETE", 10.0),
    ("mlp", 0.45, 2, "PRUNED", 0.5),
    ("shallow_cnn", 0.90, 1, "FAIL", 10.0),
    ("shallow_cnn", 0.55, 9, "COMPLETE", 10.0),
)
"""Architecture, score, epochs, state and seconds an epoch of each trial; schedules have 6 and 9 epochs."""


def made_of_several(run_maker: Callable[..., RunMaker]) -> RunMaker:
    """The search of such a run; its finals are still to be held."""
    space = joined({name: space_for(name) for name in NAMES})
    maker = run_maker(
        "several",
        model="auto",
        max_epochs=9,
        trials=5,
        space={name: knob_to_json(knob) for name, knob in space.knobs.items()},
        first=[dict(params) for params in space.first],
        fixed={"mlp/optim.epochs": 6, "shallow_cnn/optim.epochs": 9},
        defaults=settings_of("auto", NAMES),
    )
    recipes = {name: chosen_with(name, space_for(name).first[0]) for name in NAMES}
    for number, (name, uar, epochs, state, seconds) in enumerate(TRIALS):
        maker.writer.trial_started(number, recipes[name], "first" if number < 2 else "sampler")
        maker.now += epochs * seconds
        maker.epochs(number, [uar] * epochs, seconds=seconds)
        maker.end(number, state, "" if state == "COMPLETE" else f"rung {epochs}")
    return maker


def finished_with(maker: RunMaker, architecture: str) -> Path:
    """The run with a result whose winner is of that architecture."""
    folder = maker.finish().folder
    result = json.loads((folder / "result.json").read_text())
    result["winner"]["architecture"] = architecture
    (folder / "result.json").write_text(json.dumps(result))
    return folder
