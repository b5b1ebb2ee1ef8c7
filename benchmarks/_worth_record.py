"""Recording of truth tables: every configuration trained on inner folds, on the split's own parts, and for the test.

The test curve of a refit is read by validating on the test speakers after every epoch. That is what a benchmark may do
and a search may not: here nothing is chosen by it, it is what choices are judged by afterwards.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import optuna
from _worth_table import RECIPE, UNIT, Truth, TruthHeader, TruthTable, header_line, truth_line

from search.jobs import derived_seed
from search.run_folder.append_file import AppendFile
from search.study.samplers import make_sampler, suggest
from ser_core.architectures import default_config
from ser_core.clips import Manifest
from ser_core.config import Config, ConfigError, FeatureConfig
from ser_core.features.store import FeatureStore
from ser_core.splits import Fold, Split, inner_folds
from ser_core.training.run import Diverged, train
from spaces.knobs import Space, Value


@dataclass(frozen=True, kw_only=True)
class Recording:
    """What is recorded, with the data that it needs.

    Attributes:
        header: of the table. space: the knobs, with the recipe as its first configuration.
        splits: outer fold -> who trains, validates and tests. store: settings -> features of the whole manifest.
    """

    header: TruthHeader
    space: Space
    manifest: Manifest
    splits: Mapping[str, Split]
    store: Callable[[FeatureConfig], FeatureStore]

    def configuration(self, number: int) -> dict[str, Value]:
        """Configuration `number`: the recipe, then uniform draws from the space, each by its own number.

        What the recipe leaves open has the architecture's default.
        """
        if number == RECIPE:
            defaults = default_config(self.header.model, self.header.fixed).params()
            recipe = {name: self.space.first[0].get(name, defaults[name]) for name in self.space.knobs}
            return {name: value for name, value in recipe.items() if self.space.active(name, recipe)}
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        sampler = make_sampler("random", self.header.seed, number, self.space)
        return suggest(optuna.create_study(sampler=sampler).ask(), self.space)

    def truth(self, number: int, outer: str) -> Truth:
        """Train configuration `number` on everything that belongs to one outer fold."""
        header, split, params = self.header, self.splits[outer], self.configuration(number)
        config, seconds = default_config(header.model, {**header.fixed, **params}), list[float]()

        def curve(fold: Fold, repeat: int) -> list[int]:
            seed = derived_seed(header.seed, repeat, number)
            scores, spent = self._curve(config.with_params({"seed": seed}), fold)
            seconds.extend(spent)
            return scores

        inner = inner_folds(self.manifest, split, header.inner, header.seed)
        tested = Fold(fit=split.development, evaluate=split.test)
        return Truth(
            number=number,
            split=outer,
            params=params,
            inner=[curve(fold, 0) for fold in inner],
            own=curve(split.search_fold(), 0),
            test=[curve(tested, repeat) for repeat in range(header.repeats)],
            seconds=round(statistics.median(seconds), 4) if seconds else 0.0,
        )

    def _curve(self, config: Config, fold: Fold) -> tuple[list[int], list[float]]:
        """UAR after every epoch until the budget or divergence, and the processor time of each."""
        run = train(config, fold, self.store(config.features), device="cpu")
        moments = [time.process_time()]
        with suppress(Diverged):  # the curve ends there, and counts as chance from then on
            moments.extend(time.process_time() for _ in run)
        return [round(report.score("uar") * UNIT) for report in run.reports], np.diff(moments).tolist()


def record(recording: Recording, path: Path, *, count: int, progress: Callable[[Truth], None]) -> TruthTable:
    """Grow the table to `count` configurations; what the file holds already is not trained again.

    Args:
        progress: called with every line that was added.

    Raises:
        ConfigError: the file was recorded otherwise.
    """
    file = AppendFile(path)
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
        if not lines:
            file.append([header_line(recording.header)])
        elif lines[0] != header_line(recording.header):
            raise ConfigError(f"{path} was recorded otherwise: {lines[0]}; name another file, or delete it")
        pairs = ((number, outer) for number in range(count) for outer in recording.header.outer)
        for index, (number, outer) in enumerate(pairs):
            if index >= len(lines) - 1:
                truth = recording.truth(number, outer)
                file.append([truth_line(truth)])
                progress(truth)
    finally:
        file.close()
    return TruthTable.read(path)
