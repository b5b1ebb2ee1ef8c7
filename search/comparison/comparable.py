"""What must be equal for scores to be comparable, and what their readers must not overlook."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from search.run_folder.architectures import model_text
from search.run_folder.caveat_facts import facts_of_run
from search.run_folder.paths import PLAN_FILE, runs_below
from search.run_folder.run_view import RunView, read_run
from search.run_folder.start_text import start_sentences
from search.wording import SYNTHETIC, TRANSDUCTIVE, caveats_of_several, count


def runs_in(folders: Sequence[Path]) -> dict[str, list[Path]]:
    """Name -> run folder, or those of the folds of a protocol; the name is the model's, with the folder if not unique.

    Raises:
        RunFolderError: a folder that is neither a run nor a folder of runs.
    """
    found: list[tuple[str, Path, list[Path]]] = []
    for folder in dict.fromkeys(folder.resolve() for folder in folders):
        inside = runs_below(folder)
        if (folder / PLAN_FILE).exists() or not inside:
            view = read_run(folder)
            found.append((model_text(view.plan, view.result), folder, [folder]))
            continue
        by_model: dict[str, list[Path]] = {}
        for run in inside:
            by_model.setdefault(read_run(run).plan.model, []).append(run)
        found += [(model, folder, own) for model, own in by_model.items()]
    models = Counter(model for model, *_ in found)
    names = Counter((model, folder.name) for model, folder, _ in found)

    def name(model: str, folder: Path) -> str:
        if models[model] == 1:
            return model
        return f"{model} ({folder.name if names[model, folder.name] == 1 else folder})"

    return {name(model, folder): own for model, folder, own in found}


Fact = Callable[[RunView], str]


def _corpus(run: RunView) -> str:
    corpus = run.plan.corpus
    mark = f", content {corpus.fingerprint[:8]}" if corpus.fingerprint else ""
    return f"{corpus.name} ({count(corpus.clips, 'clip')}{mark})"


def _split(run: RunView) -> str:
    return f"{run.plan.split} ({'speakers kept apart' if run.plan.speaker_independent else 'speakers mixed'})"


def _test_speakers(run: RunView) -> str:
    return ", ".join(run.plan.speakers.test) or "unknown"


def _classes(run: RunView) -> str:
    return ", ".join(run.plan.corpus.classes)


def _target(run: RunView) -> str:
    """What is predicted: dimensions by name, which `_classes` has too."""
    return run.plan.target


def _test_reads(run: RunView) -> str:
    return "not read" if run.result is None else str(run.result["test_reads"])


PROTOCOL: Mapping[str, Fact] = {
    "corpus": _corpus,
    "classes": _classes,
    "target": _target,
    "objective": lambda run: run.plan.headline.label,
    "split": _split,
    "test speakers": _test_speakers,
}
"""What must be equal for scores to be comparable."""

BUDGET: Mapping[str, Fact] = {
    "epochs of a full trial": lambda run: str(run.plan.trial_epochs),
    "trials": lambda run: str(run.plan.limits.trials),
    "finalists": lambda run: str(run.plan.finalists),
    "seeds": lambda run: str(run.plan.seeds),
    "readings of the test set": _test_reads,
}
"""What should be equal for a comparison to be fair."""


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
    """What rules out a comparison of the runs, or makes it unfair."""
    found = []
    if protocol := differences(runs, PROTOCOL):
        text = " ".join(sentence(name, values) for name, values in protocol.items())
        found.append(Banner("These test scores cannot be compared.", f"The runs differ in protocol. {text}"))
    found += [*budget_banners(runs), *caveat_banners(runs)]
    if names := [run.name for run in runs if run.result is None]:
        found.append(Banner("Not finished:", f"{', '.join(names)}."))
    return found


def budget_banners(runs: Sequence[RunView]) -> list[Banner]:
    """What makes a comparison of the runs unfair."""
    budget = differences(runs, BUDGET)
    text = " ".join(sentence(name, values) for name, values in budget.items())
    return [Banner("The runs had different budgets.", text)] if budget else []


def caveat_banners(runs: Sequence[RunView]) -> list[Banner]:
    """What readers of the runs' scores must not overlook, each with the names of the runs that it concerns."""
    return [Banner(*words) for words in caveats_of_several([(run.name, facts_of_run(run)) for run in runs])]


def sentence(name: str, values: Mapping[str, Sequence[str]]) -> str:
    """One of `differences` in words."""
    parts = "; ".join(f"{value} in {', '.join(names)}" for value, names in values.items())
    return f"{name[0].upper()}{name[1:]}: {parts}."


def evaluation_banners(document: Mapping[str, Any]) -> tuple[Banner, ...]:
    """What readers of an evaluation, `evaluation.json`, must not overlook."""
    data, shared, start = document["data"], document["shared_speakers"], document["start"]
    assumed = data.get("scale_assumed", "")  # earlier versions did not ask
    rules = [
        (data["synthetic"], Banner(SYNTHETIC.title, SYNTHETIC.long)),
        (document["transductive"], Banner(TRANSDUCTIVE.title, TRANSDUCTIVE.long)),
        (
            bool(shared),
            Banner(
                "Not speaker-independent.",
                f"The model, or one that it began with, was trained or tuned on other clips of {', '.join(shared)}.",
            ),
        ),
        (bool(start), Banner("Begun with another model.", start_sentences(start))),
        (
            not document["training_clips_known"],
            Banner(
                "Training clips unknown.",
                "This model, or one that it began with, does not say what it was trained on, as an earlier version "
                "left it; whether clips of this data are among them cannot be told.",
            ),
        ),
        (bool(data["mapped"]), Banner("Ratings were mapped:", f"{data['mapped']}.")),
        (bool(assumed), Banner("The scale of ratings was assumed.", assumed)),
        (
            data["trained_on_left_out"] > 0,
            Banner("Left out:", f"{count(data['trained_on_left_out'], 'clip')} that the model was trained on."),
        ),
        (
            document["evaluations"] > 1,
            Banner(
                f"Evaluated on these clips {document['evaluations']} times;",
                "scores are too high where a choice followed a look at them.",
            ),
        ),
    ]
    return tuple(banner for holds, banner in rules if holds)


@dataclass(frozen=True)
class Banner:
    """What a reader must not overlook."""

    word: str
    text: str
