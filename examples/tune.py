"""Tune from Python: a whole search on the synthetic corpus, and what it found.

    python examples/tune.py [FOLDER]

FOLDER is for the run; without it, the run gets one below runs/, as that of the command does.
"""

import sys

import search


def main(folder: str | None = None) -> None:
    """A small search: the same options as `ser search`, by the same names."""
    run = search.tune(model="mlp", data="demo", trials=12, max_epochs=6, finalists=2, seeds=2, run_dir=folder)

    test = run.result["test"]
    low, high = test["uar"]["interval"]
    print(f"test UAR {test['uar']['mean']:.1%} ({low:.1%} to {high:.1%} over {test['speakers']} speakers)")

    print(run.trials.nlargest(3, "value")[["number", "state", "value", "best_epoch", "optim.learning_rate"]])
    print(run.study.best_trial.params)  # the Optuna study, for optuna.visualization and the like

    model = run.best_model  # the average of the refitted seeds
    print(f"{model.classes} from samples at {model.sample_rate_hz} Hz")
    print(f"python examples/read_run.py {run.folder}")


if __name__ == "__main__":
    main(*sys.argv[1:])
