"""The search, from Python.

import search

run = search.tune(model="mlp", data="demo", trials=12)
run.result["test"]["ensemble"]["uar"], run.trials, run.best_model
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from search.driver.opened_run import Run


def tune(*, quiet: bool = False, **options: Any) -> Run:
    """Do one run as `ser search` does, and return it.

    Args:
        quiet: print nothing.
        options: the fields of `search.driver.options.Options`, which are the options of the command line:
            `max_epochs=20` is `--max-epochs 20`. With `resume=FOLDER`, that run goes on.

    A second interruption that finds it inside of Ray, and the death of Ray's head, end the whole process, a notebook's
    kernel too: calls of Ray may never come back to raise anything. With `resume` the run goes on.

    Raises:
        ConfigError: options that are unknown, wrong, or ask for more than one run.
        Interrupted: after Ctrl-C; `resume` goes on.
        UserError, OSError: what keeps the run from starting or ends it; the message says what to do.
    """
    from search.driver.opened_run import tune_from_python  # torch and Ray take seconds to load

    return tune_from_python(options, quiet=quiet)


def load(folder: str | Path) -> Run:
    """The run in a folder, finished or not.

    Raises:
        RunFolderError, ConfigError: no run there, or one that cannot be read.
    """
    from search.driver.opened_run import Run

    return Run(Path(folder))
