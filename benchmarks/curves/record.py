"""Record learning curves of random configurations, to be replayed by simulations and by benchmarks/search_quality.py.

    python benchmarks/curves/record.py --model mlp --data ~/RAVDESS --count 1000 --out mlp-ravdess.jsonl

Each configuration is drawn from the space by its own number and trained to the full budget by
`ser_core.training.run` on one thread; the file grows by a line each, and the same command goes on where it was stopped.
"""

from __future__ import annotations

import argparse
import platform
import statistics
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import optuna
import torch
from platformdirs import user_cache_path
from rich.console import Console

from search.driver.planning import library_versions
from search.driver.space import resolve_space
from search.jobs import derived_seed
from search.run_folder.append_file import AppendFile
from search.simulation.curve_tables import Curve, CurveTable, TableHeader, curve_line, header_line, space_to_json
from search.study.samplers import make_sampler, suggest
from ser_core.architectures import default_config
from ser_core.config import ConfigError, FeatureConfig
from ser_core.corpora import load_corpus
from ser_core.features.store import FeatureStore, corpus_features
from ser_core.splits import Fold, make_split
from ser_core.training.run import Diverged, train
from spaces.knobs import Space, Value


def draw(space: Space, seed: int, number: int) -> dict[str, Value]:
    """Configuration `number` of a recording: a uniform draw from the space."""
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    return suggest(optuna.create_study(sampler=make_sampler("random", seed, number, space)).ask(), space)


def record(
    model: str,
    params: dict[str, Value],
    others: dict[str, Value],
    store: Callable[[FeatureConfig], FeatureStore],
    fold: Fold,
) -> Curve:
    """Train one configuration, completed by `others`, to its full budget, or until it diverges."""
    config = default_config(model, {**others, **params})
    run = train(config, fold, store(config.features), device="cpu")
    reason, moments = "", [time.process_time()]
    try:
        moments.extend(time.process_time() for _ in run)
    except Diverged as error:
        reason = f"diverged: {error}"
    seconds = statistics.median(np.diff(moments)) if run.reports else 0.0
    return Curve(params=params, val_uar=[report.score("uar") for report in run.reports], seconds=seconds, reason=reason)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", required=True, help="architecture")
    parser.add_argument("--data", required=True, help="corpus, as search/run.py --data takes it")
    parser.add_argument("--split", default="speaker", help="as search/run.py takes it (default: speaker)")
    parser.add_argument("--count", type=int, required=True, help="configurations in the table in the end")
    parser.add_argument("--max-epochs", type=int, help="full budget (default: the model's)")
    parser.add_argument("--set", action="append", default=[], help="as search/run.py takes it; repeatable")
    parser.add_argument("--space", action="append", default=[], help="as search/run.py takes it; repeatable")
    parser.add_argument("--seed", type=int, default=0, help="of the split, the draws and all training (default: 0)")
    parser.add_argument("--out", type=Path, required=True, help="the table")
    given = parser.parse_args()
    torch.set_num_threads(1)

    space, fixed = resolve_space(
        given.model, sets=given.set, spaces=given.space, max_epochs=given.max_epochs, pretrained=None
    )
    manifest = load_corpus(given.data, skip_bad=False, classes=None, cache_dir=user_cache_path("ser-search"))
    split = make_split(manifest, given.split, given.seed)
    rows = split.development
    features = partial(corpus_features(manifest, user_cache_path("ser-search")).store, rows=rows)
    fold = Fold(fit=np.searchsorted(rows, split.train), evaluate=np.searchsorted(rows, split.validation))

    header = TableHeader(
        model=given.model,
        corpus=manifest.corpus,
        split=given.split,
        seed=given.seed,
        fixed=fixed,
        epochs=default_config(given.model, fixed).optim.epochs,
        space=space_to_json(space),
        about=f"{platform.machine()}, one thread, torch {library_versions()['torch']}",
    )
    file = AppendFile(given.out)
    lines = given.out.read_text(encoding="utf-8").splitlines()
    if not lines:
        file.append([header_line(header)])
    elif lines[0] != header_line(header):
        raise ConfigError(f"{given.out} was recorded otherwise: {lines[0]}; name another file, or delete it")
    console = Console(file=sys.stderr)
    for number in range(max(0, len(lines) - 1), given.count):
        params = draw(space, given.seed, number)
        others = {**fixed, "seed": derived_seed(given.seed, 0, number)}
        curve = record(given.model, params, others, features, fold)
        file.append([curve_line(curve)])
        best = max(curve.val_uar, default=float("nan"))
        console.print(f"{number + 1} of {given.count}: best {100 * best:.1f} % UAR, {curve.seconds:.2f} s an epoch")
    file.close()
    table = CurveTable.read(given.out)
    console.print(f"{given.out}: {len(table.curves)} curves of {table.header.epochs} epochs")


if __name__ == "__main__":
    main()
