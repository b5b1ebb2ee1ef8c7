"""The folds of a protocol on the corpus that the options name, found and checked before the first of them is begun."""

from __future__ import annotations

from pathlib import Path

from platformdirs import user_cache_path
from rich.console import Console

from search.driver.options import OPTIONS, Options
from search.driver.starts import named_start, start_of
from search.run_folder.plan import EARLIER_TARGET
from ser_core.clips import Manifest
from ser_core.corpora import progress_bars
from ser_core.protocols import fold_names
from ser_core.several_corpora import load_corpora, named_corpora
from ser_core.split_rules import SplitError
from ser_core.splits import make_split

_SHOWN = 5
"""Folds that cannot be made, of which a message names so many."""


def cache_folder(options: Options) -> Path:
    """Where corpora and features are kept."""
    return options.cache_dir or user_cache_path("ser-search")


def corpus_of(
    data: str,
    test_data: str,
    classes: str | None,
    skip_bad: bool,
    cache_dir: Path,
    console: Console,
    *,
    target: str = EARLIER_TARGET,
    scale: str = "",
) -> Manifest:
    """The corpus, or several as one of which `test_data` is the last, with bars on the console while they are read.

    Args:
        target: what is predicted; scale: of ratings; both as in a plan.

    Raises:
        CorpusError: see `load_corpora`.
    """
    names = [*named_corpora(data), *([test_data] if test_data else [])]
    with progress_bars(console) as progress:
        return load_corpora(
            names, skip_bad=skip_bad, classes=classes, target=target, scale=scale, cache_dir=cache_dir,
            progress=progress,
        )  # fmt: skip


def checked_folds(protocol: str, options: Options, console: Console) -> tuple[str, ...]:
    """Names of the folds, as `--split` takes them, each of which can be made.

    Raises:
        ConfigError, CorpusError: no corpus, or one that cannot be used; a model to begin with that has seen the test.
        SplitError: a corpus that the protocol is not for; all of its folds that cannot be made are in the message.
    """
    options.check_complete()
    manifest = corpus_of(
        str(options.data), "", options.classes, options.skip_bad, cache_folder(options), console,
        target=options.target or EARLIER_TARGET, scale=options.scale or "",
    )  # fmt: skip
    names = fold_names(protocol, manifest)
    problems = []
    start = named_start(options.pretrained)
    for name in names:
        try:
            split = make_split(manifest, name, OPTIONS["seed"].default if options.seed is None else options.seed)
            if start is not None:
                start_of(start, manifest, split, allowed=options.allow_heard_test)
        except SplitError as error:
            problems.append(str(error))
    if problems:
        more = [f"and {len(problems) - _SHOWN} more folds"] if len(problems) > _SHOWN else []
        raise SplitError("\n".join([*problems[:_SHOWN], *more]))
    return names
