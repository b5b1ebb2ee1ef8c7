"""The two phases of the finals: the finalists over seeds, then the winner on train and validation together."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from search.finals.finalists import (
    FinalChoice,
    FinalJobs,
    choose_finalists,
    choose_winner,
    finalist_scores,
    refit_epochs,
)
from search.run_folder.plan import SearchPlan
from search.run_folder.records import Phase, TrialRecord
from search.run_folder.records_writer import RecordWriter


class Finals:
    """Makes the jobs of both phases; finalists and winner are chosen here and nowhere else.

    Args:
        interrupted: True as soon as all is to stop.
    """

    def __init__(self, plan: SearchPlan, writer: RecordWriter, interrupted: Callable[[], bool]) -> None:
        self._plan, self._writer, self._interrupted = plan, writer, interrupted
        self._finalists: Sequence[TrialRecord] = ()
        self._choice: FinalChoice | None = None

    def repeats(self) -> FinalJobs:
        """Choose the finalists -> the jobs that repeat them over seeds; once the search has ended.

        Raises:
            FinalsError: no trial has a score.
        """
        self._finalists = choose_finalists(self._writer.records, self._plan.finalists)
        return self._jobs(Phase.FINALIST, self._finalists, self._plan.max_epochs)

    def refits(self) -> FinalJobs:
        """Choose the winner -> the jobs that refit it; once the finalists have ended.

        Raises:
            FinalsError: no finalist finished a run.
        """
        records = self._writer.records
        scores = finalist_scores(records, [trial.number for trial in self._finalists])
        winner = choose_winner(scores)
        self._choice = FinalChoice(finalists=self._finalists, scores=scores, winner=winner)
        return self._jobs(Phase.REFIT, [records.trials[winner]], refit_epochs(records, winner))

    @property
    def choice(self) -> FinalChoice:
        """What was chosen.

        Raises:
            RuntimeError: before the refits.
        """
        if self._choice is None:
            raise RuntimeError("the winner is chosen when the refits begin")
        return self._choice

    def _jobs(self, phase: Phase, trials: Sequence[TrialRecord], last_epoch: int) -> FinalJobs:
        return FinalJobs(
            phase=phase,
            trials=trials,
            seeds=self._plan.seeds,
            seed=self._plan.seed,
            fixed=self._plan.fixed,
            writer=self._writer,
            last_epoch=last_epoch,
            interrupted=self._interrupted,
        )
