"""Runs beside one another: a table of them, and every difference in protocol that forbids to compare their scores."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from search.figures._style import count, interval_words, percent
from search.page_head import Banner
from search.view import RunView, best_trial

Fact = Callable[[RunView], str]


@dataclass(frozen=True, kw_only=True)
class ComparisonHead:
    """All text of a page of several runs but that of the figures; nothing in it is escaped yet."""

    run: str
    title: str
    lead: str
    banners: tuple[Banner, ...]
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    footer: str


def _corpus(run: RunView) -> str:
    corpus = run.plan["corpus"]
    mark = f", content {corpus['fingerprint'][:8]}" if corpus.get("fingerprint") else ""
    return f"{corpus['name']} ({count(corpus['clips'], 'clip')}{mark})"


def _split(run: RunView) -> str:
    return f"{run.plan['split']} ({'speakers kept apart' if run.plan['speaker_independent'] else 'speakers mixed'})"


def _test_speakers(run: RunView) -> str:
    return ", ".join(run.plan.get("speakers", {}).get("test", ())) or "not told"


def _classes(run: RunView) -> str:
    return ", ".join(run.plan["corpus"]["classes"])


def _test_reads(run: RunView) -> str:
    return "not read" if run.result is None else str(run.result["test_reads"])


PROTOCOL: Mapping[str, Fact] = {
    "corpus": _corpus,
    "classes": _classes,
    "split": _split,
    "test speakers": _test_speakers,
}
"""What must be equal for scores to be comparable."""

BUDGET: Mapping[str, Fact] = {
    "epochs of a full trial": lambda run: str(run.max_epochs),
    "trials": lambda run: str(run.trials),
    "finalists": lambda run: str(run.plan["finalists"]),
    "seeds": lambda run: str(run.plan["seeds"]),
    "readings of the test set": _test_reads,
}
"""What should be equal for a comparison to be fair."""


def comparison_head(runs: Sequence[RunView]) -> ComparisonHead:
    """The head of a page of `runs`, in the order given."""
    models = list(dict.fromkeys(run.plan["model"] for run in runs))
    return ComparisonHead(
        run=", ".join(run.name for run in runs),
        title=f"{count(len(runs), 'run')} compared: {', '.join(models)}",
        lead="Test scores are means over seeds of the winner's refits, with a 95 % interval over test speakers. "
        "Whether one run is better than another, the differences on the same clips tell: intervals of two runs can "
        "overlap although one is better for nearly every speaker.",
        banners=tuple(banners(runs)),
        columns=("run", "model", "corpus", "classes", "split", "trials", *SCORES),
        rows=tuple(_row(run) for run in runs),
        footer="Differences between numbers may be those of seeds and speakers; read the intervals first.",
    )


def named_apart(runs: Sequence[RunView]) -> list[RunView]:
    """The runs; of equal names each gets its number."""
    names = Counter(run.name for run in runs)
    return [
        run if names[run.name] == 1 else replace(run, name=f"{run.name} ({number})")
        for number, run in enumerate(runs, start=1)
    ]


def differences(runs: Sequence[RunView], facts: Mapping[str, Fact]) -> dict[str, dict[str, list[str]]]:
    """Facts in which runs differ: fact -> its value -> names of the runs that have it."""
    found: dict[str, dict[str, list[str]]] = {}
    for name, fact in facts.items():
        by_value: dict[str, list[str]] = {}
        for run in runs:
            by_value.setdefault(fact(run), []).append(run.name)
        if len(by_value) > 1:
            found[name] = by_value
    return found


def banners(runs: Sequence[RunView]) -> list[Banner]:
    """What forbids to compare the runs, or makes a comparison unfair."""
    found = []
    if protocol := differences(runs, PROTOCOL):
        text = " ".join(sentence(name, values) for name, values in protocol.items())
        found.append(Banner("These test scores cannot be compared.", f"The runs differ in protocol. {text}"))
    found += [*budget_banners(runs), *caveats(runs)]
    if names := [run.name for run in runs if run.result is None]:
        found.append(Banner("Not finished:", f"{', '.join(names)}."))
    return found


def budget_banners(runs: Sequence[RunView]) -> list[Banner]:
    """What makes a comparison of the runs unfair."""
    budget = differences(runs, BUDGET)
    text = " ".join(sentence(name, values) for name, values in budget.items())
    return [Banner("The runs had different budgets.", text)] if budget else []


def caveats(runs: Sequence[RunView]) -> list[Banner]:
    """What the scores of some runs do not tell, each with the names of those runs."""
    found = []
    for word, text, holds in _CAVEATS:
        if names := dict.fromkeys(run.name for run in runs if holds(run)):
            found.append(Banner(word, f"{text}: {', '.join(names)}."))
    return found


def _transductive(run: RunView) -> bool:
    return bool(run.result and run.result.get("transductive"))


def _knows_test_speakers(run: RunView) -> bool:
    return bool((run.plan.get("warm_start") or {}).get("test_speakers"))


_CAVEATS: tuple[tuple[str, str, Callable[[RunView], bool]], ...] = (
    (
        "Synthetic corpus.",
        "No person spoke this audio. It says nothing about speech",
        lambda run: bool(run.plan["synthetic"]),
    ),
    (
        "Not speaker-independent.",
        "Clips of one speaker stand in both training and test",
        lambda run: not run.plan["speaker_independent"],
    ),
    ("Transductive.", "Features are normalised by all clips of each test speaker", _transductive),
    ("Tuned on test speakers.", "The configurations come from an earlier search on them", _knows_test_speakers),
    (
        "The test set was read more than once.",
        "These scores may flatter",
        lambda run: run.result is not None and int(run.result["test_reads"]) > 1,
    ),
)


def sentence(name: str, values: Mapping[str, Sequence[str]]) -> str:
    """One of `differences` in words."""
    parts = "; ".join(f"{value} in {', '.join(names)}" for value, names in values.items())
    return f"{name[0].upper()}{name[1:]}: {parts}."


SCORES = ("best search UAR", "winner, mean of seeds", "test UAR", "95 % interval", "test accuracy")


def _row(run: RunView) -> tuple[str, ...]:
    best = best_trial(run.records)
    facts = (run.name, run.plan["model"], run.plan["corpus"]["name"], str(len(run.plan["corpus"]["classes"])))
    scores = _result_scores(run.result) if run.result else ("–",) * 4
    trials = f"{len(run.records.trials):,}"
    return (*facts, run.plan["split"], trials, percent(best.value) if best else "–", *scores)


def _result_scores(result: Mapping[str, Any]) -> tuple[str, ...]:
    winner = next(f for f in result["finalists"] if f["trial"] == result["winner"]["trial"])["val_uar"]["mean"]
    uar = result["test"]["uar"]
    spread = "" if uar["std"] is None else f" ± {100 * uar['std']:.1f}"
    accuracy = percent(result["test"]["war"]["mean"])
    return percent(winner), f"{percent(uar['mean'])}{spread}", interval_words(uar.get("interval")), accuracy
