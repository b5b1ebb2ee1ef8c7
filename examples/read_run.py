"""Read a finished run with pandas: its trials, their learning curves, and what it predicts for each test speaker.

    python examples/read_run.py RUN

RUN is the folder of a run that has ended.
"""

import sys

import search


def main(folder: str) -> None:
    """Everything is read from the folder; nothing is trained."""
    run = search.load(folder)

    print(run.trials.groupby("state")["value"].describe().round(3))  # the best validation UAR of each trial

    search_epochs = run.epochs[run.epochs["phase"] == "search"]
    curves = search_epochs.pivot(index="epoch", columns="trial", values="val_uar")  # a column per trial
    print(curves.loc[:, curves.max().nlargest(3).index].round(3))

    knobs = run.trials.select_dtypes("number").drop(columns=["number", "best_epoch", "seconds"])
    print(knobs.corr(method="spearman")["value"].drop("value").dropna().sort_values().round(2))

    clips = run.predictions
    print(clips.pivot_table(index="speaker", columns="emotion", values="right").round(2))


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    main(sys.argv[1])
