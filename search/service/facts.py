"""What readers of a prediction must know of the model: what it was tuned and tested on, and how sure that is.

From `result.json` where the model lies in its run folder; from its own `config.json` and card where it was taken away.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from search.finals.model_card import CARD_FILE, THIS_MODEL
from search.run_folder.architectures import result_model
from search.run_folder.caveat_facts import facts_of_result
from search.run_folder.documents import read_result_file
from search.run_folder.paths import RESULT_FILE
from search.run_folder.run_score import headline_of, run_score
from search.run_folder.verdict import tuning_sentence
from search.wording import NONE, Bounds, Caveat, CaveatFacts, caveats, count, interval, rating_scales, times
from ser_core.json_document import DocumentError
from ser_core.named_scores import SCORES, Score
from ser_core.targets import Target, headline

NOT_HERE = "The folder of this model says nothing of a test."


@dataclass(frozen=True, kw_only=True)
class Origin:
    """A model's past, in words.

    Attributes:
        name: what was tuned, on what: "mlp on ravdess".
        measure: what it is judged by.
        score: that of the test, or `NONE`.
        interval: its 95 % interval over speakers, or why there is none.
        tested, tuned, corpus, licence: a sentence or two each.
        caveats: what readers of the score must not overlook.
    """

    name: str
    measure: Score
    score: str
    interval: str
    tested: str
    tuned: str
    corpus: str
    licence: str
    caveats: tuple[Caveat, ...]


@dataclass(frozen=True, kw_only=True)
class ModelFacts:
    """What the service needs to know of a model besides what it hears; travels to other processes.

    Attributes:
        target: what is predicted.
        spans: of ratings, for every dimension where nearly all of those lie that the model learnt from; else empty.
        sample_rate_hz: of the samples that it is given.
        clip_seconds: what it hears of a stream at a time, s.
        engine: what it runs in.
    """

    target: Target
    spans: tuple[tuple[float, float], ...]
    sample_rate_hz: int
    clip_seconds: float
    engine: str
    origin: Origin


def origin_of(folder: Path, architecture: str, about: Mapping[str, Any], target: Target) -> Origin:
    """The past of the model, or of the ensemble, in `folder`.

    Args:
        about: of the model, see `ser_core.artifact`.
    """
    found = _result_of(folder)
    if found is None:
        return _from_model(folder, architecture, about, target)
    result, seed = found
    return _from_result(result, seed)


def _result_of(folder: Path) -> tuple[dict[str, Any], int | None] | None:
    """The result of the run that made a model, and the number of its seed from 0; None for all of them together."""
    place = folder.resolve()
    for run in (place, place.parent, place.parent.parent):
        if not (run / RESULT_FILE).is_file():
            continue
        try:
            result = read_result_file(run)
        except (DocumentError, OSError):
            return None  # another program's, or damaged; the model speaks for itself
        name = place.relative_to(run).as_posix()
        if name in (".", "final"):
            return result, None
        models = list(result["winner"]["models"])
        return (result, models.index(name)) if name in models else None
    return None


def _from_result(result: Mapping[str, Any], seed: int | None) -> Origin:
    test, split, corpus = result["test"], result["split"], result["corpus"]
    score = headline_of(result)
    own = run_score(test, score.name)
    value, bounds = own.value, own.interval
    if seed is not None:
        seeds = test[score.name]
        value, bounds = seeds["seeds"][seed], (seeds.get("seed_intervals") or [None] * (seed + 1))[seed]
    heard = "whom it never heard" if split["speaker_independent"] else "whom it heard in training too"
    trials = sum(result["search"]["trials"].values())
    return Origin(
        name=f"{result_model(result)} on {corpus['name']}",
        measure=score,
        score=score.text(value),
        interval=_interval(bounds, test["speakers"], score),
        tested=f"On {count(test['clips'], 'clip')} of {count(test['speakers'], 'speaker')} {heard}; the test set was "
        f"read {times(result['test_reads'])}.",
        tuned=f"{count(trials, 'trial')} on other speakers. {tuning_sentence(result)}".strip(),
        **_corpus(corpus),
        caveats=tuple(caveats(facts_of_result(result))),
    )


def _from_model(folder: Path, architecture: str, about: Mapping[str, Any], target: Target) -> Origin:
    corpus = about.get("corpus")
    corpus = corpus if isinstance(corpus, dict) else {}
    independent = about.get("speaker_independent", True) is not False
    measure, value, edges = _card_score(folder, headline(target))
    return Origin(
        name=f"{architecture} on {corpus.get('name', 'a corpus that it does not name')}",
        measure=measure,
        score=value,
        interval=edges,
        tested=NOT_HERE if value == NONE else "As its card says, on clips that it was not trained on.",
        tuned="On other speakers than those of the test." if independent else "On speakers of the test too.",
        **_corpus(corpus),
        caveats=tuple(
            caveats(
                CaveatFacts(synthetic=bool(corpus.get("synthetic")), speakers_mixed=not independent, transductive=False)
            )
        ),
    )


def _corpus(corpus: Mapping[str, Any]) -> dict[str, str]:
    size = f"{count(int(corpus.get('clips', 0)), 'clip')} of {count(int(corpus.get('speakers', 0)), 'speaker')}"
    scales = corpus.get("scales") or {}
    rated = f"{rating_scales(list(scales), scales)} " if scales else ""
    return {
        "corpus": f"{corpus.get('name', 'Not named')}: {size}. {rated}{corpus.get('citation', '')}".strip(),
        "licence": str(corpus.get("licence") or "Not known to this program."),
    }


def _interval(bounds: Bounds | None, speakers: int, score: Score) -> str:
    words = interval(bounds, speakers=speakers, score=score)
    return words if words.startswith("no ") or words == NONE else f"95 % interval over speakers: {words}"


def _card_score(folder: Path, usual: Score) -> tuple[Score, str, str]:
    """What a model is judged by, `usual` where it has no card, its test score and the interval: the card's first score.

    The cell in the column "this model" is such as "55.1 (48.0 to 61.2)".
    """
    try:
        card = (folder / CARD_FILE).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        return usual, NONE, NONE
    rows = [[cell.strip() for cell in line.split("|")] for line in card.splitlines() if line.startswith("|")]
    head = next((number for number, row in enumerate(rows) if THIS_MODEL in row), len(rows))
    measures = {score.label: score for score in SCORES.values()}
    for row in rows[head + 1 :]:
        measure = measures.get(row[1].split(" (")[0]) if len(row) == len(rows[head]) else None
        found = measure and re.fullmatch(r"(-?[\d.]+) \((.+)\)", row[rows[head].index(THIS_MODEL)])
        if measure and found:
            edges = found[2] if found[2].startswith("no ") else f"95 % interval over speakers: {found[2]}{measure.unit}"
            return measure, f"{found[1]}{measure.unit}", edges
    return usual, NONE, NONE
