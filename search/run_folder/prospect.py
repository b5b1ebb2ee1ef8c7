"""Whether a search may still find something: the trials so far against the recipe, fold by fold.

A search that began with a good recipe can spend all of its budget on configurations that are no better. Where trials
train one fold after another, every fold is a pair of scores on the same speakers, and how much such pairs differ says
what luck alone would do. When enough trials have ended, and none of them leads the recipe by more than that, no further
one is started.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from statistics import fmean

from search.run_folder.finals_rule import recipe_trial
from search.run_folder.records import RunRecords, TrialRecord, TrialState
from spaces.several import choice_of

ENOUGH_TRIALS = 20
"""Trials beside the recipe after whose end a search may be given up."""
LUCK = 1.96
"""Standard errors up to which a lead counts as luck."""
_LEAST_FREEDOM = 4


@dataclass(frozen=True, kw_only=True)
class FoldLead:
    """By how much a trial leads the recipe over the folds that both completed.

    Attributes:
        trial: its number. folds: of both.
        lead: mean score less the recipe's.
        luck: standard error of such a lead.
    """

    trial: int
    folds: int
    lead: float
    luck: float

    @property
    def beyond_luck(self) -> bool:
        return self.lead > LUCK * self.luck

    @property
    def against_luck(self) -> float:
        """The lead times the root of its folds, by which leads of one search can be ordered."""
        return self.lead * math.sqrt(self.folds)


@dataclass(frozen=True, kw_only=True)
class Prospect:
    """What trials so far say about finding something better than the recipe.

    Attributes:
        trials: that have ended, the recipe and failed ones apart. running: that have not.
        best: number of the one whose lead over the recipe is largest against luck.
        lead: its mean score less the recipe's, over the folds that both completed.
        luck: standard error of such a lead.
    """

    trials: int
    running: int
    best: int
    lead: float
    luck: float

    @property
    def nothing_to_gain(self) -> bool:
        """True when enough trials have ended and no lead lies above luck."""
        return self.trials >= ENOUGH_TRIALS and self.lead <= LUCK * self.luck


def prospect(records: RunRecords, architecture: str = "") -> Prospect | None:
    """What there is to say, of one architecture where trials choose one; None where `fold_leads` says nothing."""
    leads = fold_leads(records, architecture)
    if not leads:
        return None
    tried = _beside_recipe(records, architecture)
    running = sum(trial.state is TrialState.RUNNING for trial in tried)
    best = max(leads, key=lambda lead: lead.against_luck)
    return Prospect(trials=len(tried) - running, running=running, best=best.trial, lead=best.lead, luck=best.luck)


def fold_leads(records: RunRecords, architecture: str = "") -> list[FoldLead]:
    """Of every other trial of the recipe's architecture with a complete fold, in the order of their numbers.

    Empty before the recipe has completed all folds, without folds one after another, and before enough trials share two
    folds with it. The standard error of a lead over k folds is s / sqrt(k), with s the pooled standard deviation of a
    trial's leads over its own folds, as in an analysis of variance with the trials as groups.
    """
    recipe = recipe_trial(records, architecture)
    if recipe is None or recipe.state is not TrialState.COMPLETE or recipe.folds < 2:
        return []
    standard = recipe.fold_scores
    leads = {
        trial.number: [own - its for own, its in zip(trial.fold_scores, standard, strict=False)]
        for trial in _beside_recipe(records, architecture)
        if trial.folds
    }
    means = {number: fmean(own) for number, own in leads.items()}
    squares = sum((lead - means[number]) ** 2 for number, own in leads.items() for lead in own)
    freedom = sum(len(own) - 1 for own in leads.values())
    if freedom < _LEAST_FREEDOM:
        return []
    spread = math.sqrt(squares / freedom)
    return [
        FoldLead(trial=number, folds=len(own), lead=means[number], luck=spread / math.sqrt(len(own)))
        for number, own in leads.items()
    ]


def _beside_recipe(records: RunRecords, architecture: str) -> list[TrialRecord]:
    """The trials of an architecture that have not failed, but for its recipe."""
    recipe = recipe_trial(records, architecture)
    own = (trial for trial in records.trials.values() if choice_of(trial.params) == architecture)
    return [trial for trial in own if trial is not recipe and trial.state is not TrialState.FAIL]
