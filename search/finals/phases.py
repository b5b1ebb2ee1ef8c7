"""The two phases of the finals: the finalists over seeds, then the winner on train and validation together."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from search.finals.finalists import (
    FinalChoice,
    FinalJobs,
    best_of,
    choose_finalists,
    choose_winner,
    comparable,
    ends_by_median,
    finalist_scores,
    refit_epochs,
)
from search.finals.lead import Lead, validation_lead
from search.finals.spreads import Spread
from search.run_folder.architectures import schedules
from search.run_folder.finals_rule import LEAD_BEYOND_LUCK, certain_finalists, recipe_trial
from search.run_folder.plan import SearchPlan
from search.run_folder.records import Phase, TrialRecord
from search.run_folder.records_writer import RecordWriter
from spaces.several import choice_of


class Finals:
    """Makes the jobs of both phases; finalists and winner are chosen here and nowhere else.

    Workers without a job begin with a phase before its time: with the seeds of those who are finalists in any case, and
    with the refits of the one who is likely to win. Only their waiting is used for that; what it comes to in the end is
    the same.

    Args:
        folder: of the run, which holds what finalists predict for their validation clips.
        speaker_of: by the ID of a clip.
        interrupted: True as soon as all is to stop.
        log: gets a line on refits that were begun for nothing.
    """

    def __init__(
        self,
        plan: SearchPlan,
        writer: RecordWriter,
        folder: Path,
        speaker_of: Mapping[str, str],
        interrupted: Callable[[], bool],
        log: Callable[[str], None],
    ) -> None:
        self._plan, self._writer, self._log = plan, writer, log
        self._folder, self._speaker_of = folder, speaker_of
        self.repeats = FinalJobs(phase=Phase.FINALIST, plan=plan, writer=writer, interrupted=interrupted)
        self.refits = FinalJobs(phase=Phase.REFIT, plan=plan, writer=writer, interrupted=interrupted)
        self._finalists: Sequence[TrialRecord] = ()
        self._choice: FinalChoice | None = None

    def begin_repeats(self, *, all_begun: bool) -> None:
        """While the search goes on: let those be repeated who are finalists whatever is to come.

        Args:
            all_begun: no trial is to come.
        """
        for trial in certain_finalists(self._plan, self._writer.records, all_begun=all_begun):
            self.repeats.add(trial, schedules(self._plan))

    def choose_finalists(self) -> None:
        """Once the search has ended.

        Raises:
            FinalsError: no trial has a score.
        """
        self._finalists = choose_finalists(self._plan, self._writer.records)
        for trial in self._finalists:
            self.repeats.add(trial, schedules(self._plan))

    def begin_refits(self) -> None:
        """While the finalists are repeated: let the one be refitted who is likely to win.

        That is the recipe, which stands unless another leads it by more than luck explains. Nobody else is refitted
        before the winner is chosen, so that no more than the refits of one are for nothing.
        """
        records = self._writer.records
        recipes = [trial for trial in self._finalists if recipe_trial(records, choice_of(trial.params)) is trial]
        if self.refits.trials or self._plan.finals_rule < LEAD_BEYOND_LUCK or len(recipes) != 1:
            return
        [recipe] = recipes
        if not ends_by_median(self._plan, recipe):
            self.refits.add(recipe, refit_epochs(self._plan, records, recipe.number))

    def choose_winner(self) -> None:
        """Once the finalists have ended.

        Raises:
            FinalsError: no finalist finished a run.
            ConfigError: what finalists predict for their validation clips cannot be read.
        """
        records = self._writer.records
        self._choice = self._choose()
        winner = self._choice.winner
        for other in self.refits.trials - {winner}:
            self._log(f"trial {winner} won: the refits of trial {other} that were begun meanwhile are not used")
            self.refits.drop(other)
        self.refits.add(records.trials[winner], refit_epochs(self._plan, records, winner))

    def _choose(self) -> FinalChoice:
        """The best mean over seeds decides the architecture; within it the recipe meets the best of the others."""
        records, finalists = self._writer.records, [trial.number for trial in self._finalists]
        scores, recipe = finalist_scores(records, finalists), None
        compared = scores
        if self._plan.finals_rule > 1:
            choices = {number: choice_of(records.trials[number].params) for number in scores}
            compared = comparable(scores)
            best = best_of(compared)
            chosen = choices[best] if best is not None else ""
            compared = {number: score for number, score in compared.items() if choices[number] == chosen}
            trial = recipe_trial(records, chosen)
            recipe = trial.number if trial is not None and trial.number in finalists else None
        challenger = best_of({number: score for number, score in compared.items() if number != recipe})
        lead = None
        if recipe is not None and challenger is not None:
            plan = self._plan
            lead = validation_lead(self._folder, plan.seeds, challenger, recipe, self._speaker_of, plan.objective)
        standing = recipe if recipe in compared else None
        winner = choose_winner(standing, challenger, leads=self._leads(compared, standing, challenger, lead))
        return FinalChoice(
            finalists=self._finalists, scores=scores, recipe=recipe, challenger=challenger, lead=lead, winner=winner
        )

    def _leads(
        self, scores: Mapping[int, Spread], recipe: int | None, challenger: int | None, lead: Lead | None
    ) -> bool:
        """Whether the challenger takes the recipe's place, by the rule of the plan."""
        if recipe is None or challenger is None:
            return False
        if self._plan.finals_rule < LEAD_BEYOND_LUCK:
            return scores[challenger].mean > scores[recipe].mean
        return lead is not None and not lead.is_luck

    @property
    def choice(self) -> FinalChoice:
        """What was chosen.

        Raises:
            RuntimeError: before the refits.
        """
        if self._choice is None:
            raise RuntimeError("the winner is chosen when the refits begin")
        return self._choice
