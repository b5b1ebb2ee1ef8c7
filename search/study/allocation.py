"""Which architecture the next trial belongs to, where a search chooses among several.

Each gets the same number of seconds, so that cheap architectures do not pay for dear ones, until evidence says that one
cannot win: then the others share what is left. The decision is a function of the recorded trials and of the limit
alone, so that a run that is resumed decides what it would have decided.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field

from search.run_folder.records import TrialRecord, TrialState
from ser_core.named_scores import UAR, Score
from spaces.knobs import Value
from spaces.several import ARCHITECTURE, choice_of

SEED_DEVIATION = 0.02
"""Standard deviation of a score over seeds alone: of UAR 1.8 to 2.0 points (benchmarks/truth, docs/search-quality.md).
Of the other objectives it is taken to be the same; theirs was not measured."""

LEAST_TRIALS = 5
"""Ended trials of an architecture before it may be given up."""

DEVIATIONS = 1.96
"""Standard deviations of the difference between two scores that luck is believed to explain."""

Configuration = tuple[Mapping[str, Value], str]
"""Values of some knobs, and where they come from, as in `TrialRecord.origin`."""


@dataclass(frozen=True, kw_only=True)
class Luck:
    """How far a score may lie from what its configuration is worth on other seeds and clips.

    The seed moves it, and so does which clips there are to validate on. Over n of them a share p of clips, and about so
    UAR and macro F1, has the variance p (1 - p) / n; a concordance c has (1 - c^2)^2 / n, Lin's (1989) for ratings that
    are off in neither mean nor spread. Both shrink with the folds over which a trial is scored.

    Attributes:
        clips: validation clips of one fold.
        folds: that a trial trains side by side.
        score: the objective.
    """

    clips: float
    folds: int = 1
    score: Score = UAR

    def variance(self, trial: TrialRecord) -> float:
        """Of the score of a trial."""
        folds = self.folds * max(1, trial.folds)
        value = min(self.score.most, max(self.score.least, trial.value))
        of_one_clip = value * (1 - value) if self.score.percent else (1 - value**2) ** 2
        return (SEED_DEVIATION**2 + of_one_clip / self.clips) / folds


@dataclass
class _Account:
    """What one architecture has had, and come to.

    Attributes:
        started, ended: trials. seconds: of those that ended. scored: those of them that have a score.
        best: the best that was trained to its end.
        running: those at work.
    """

    started: int = 0
    ended: int = 0
    scored: int = 0
    seconds: float = 0.0
    best: TrialRecord | None = None
    running: list[TrialRecord] = field(default_factory=list)

    def take(self, trial: TrialRecord) -> None:
        """Take note of a trial that has ended."""
        self.ended += 1
        self.seconds += _seconds(trial)
        self.scored += trial.state is not TrialState.FAIL and math.isfinite(trial.value)
        if trial.state is TrialState.COMPLETE and (self.best is None or trial.rank < self.best.rank):
            self.best = trial

    @property
    def committed(self) -> float:
        """Seconds that are spent, and that trials at work can be expected to spend, each as many as the ended ones.

        Infinite while the first trial is at work, since nothing is known of what it will take: otherwise a dear
        architecture, which has spent nothing yet, would be given every worker.
        """
        if self.running and not self.ended:
            return math.inf
        usual = self.seconds / self.ended if self.ended else 0.0
        return self.seconds + sum(max(usual, _seconds(trial)) for trial in self.running)


class Allocation:
    """Hands out what trials are to try: an architecture each, and whatever of it is to be tried first.

    Args:
        architectures: in the order in which their recipes are tried.
        first: configurations to be tried first, each with its architecture; the first of each is its recipe.
        trials: by number, as they are recorded; they grow.
        luck: of a score.
        log: gets a line when an architecture is given up.
    """

    def __init__(
        self,
        architectures: Sequence[str],
        first: Sequence[Configuration],
        trials: Mapping[int, TrialRecord],
        luck: Luck,
        log: Callable[[str], None],
    ) -> None:
        self._trials, self._luck, self._log = trials, luck, log
        self._first = {name: [each for each in first if choice_of(each[0]) == name] for name in architectures}
        self._accounts = {name: _Account() for name in architectures}
        self._known: set[int] = set()  # trials that have ended and are in the accounts
        self._given_up: set[str] = set()  # of which the log knows

    def contenders(self) -> list[str]:
        """Architectures that can still win; all of them where every one has failed."""
        self._look()
        return self._contenders()

    def next(self, limit: int, *, hopeless: Collection[str] = ()) -> Configuration:
        """What the next trial is to try, of at most `limit` trials in all.

        Args:
            hopeless: contenders in which there is nothing left to find; not all of them.
        """
        self._look()
        architecture = self._next_architecture(limit, hopeless)
        own, started = self._first[architecture], self._accounts[architecture].started
        return own[started] if started < len(own) else ({ARCHITECTURE: architecture}, "sampler")

    def _look(self) -> None:
        """Bring the accounts up to what the records say now."""
        for account in self._accounts.values():
            account.started, account.running = account.ended, []
        for number, trial in self._trials.items():
            if number in self._known:
                continue
            account = self._accounts[choice_of(trial.params)]
            account.started += 1
            if trial.state is TrialState.RUNNING:
                account.running.append(trial)
            else:
                account.take(trial)
                self._known.add(number)

    def _next_architecture(self, limit: int, hopeless: Collection[str]) -> str:
        """Every recipe first; then the contender with the fewest seconds, of those that have trials left.

        A limit of trials is divided evenly among those that can still win: otherwise the cheapest, which has most
        trials for its seconds, would use it up.
        """
        accounts = self._accounts
        if untried := [name for name, account in accounts.items() if not account.started]:
            return untried[0]
        contenders = [name for name in self._contenders() if name not in hopeless]
        left = limit - sum(account.started for name, account in accounts.items() if name not in contenders)
        below = [name for name in contenders if accounts[name].started < left / len(contenders)]
        return min(below or contenders, key=lambda name: (accounts[name].committed, accounts[name].started))

    def _contenders(self) -> list[str]:
        """Those that can still win; all of them where every one has failed."""
        lost = {name: why for name in self._accounts if (why := self._cannot_win(name))}
        for name in lost.keys() - self._given_up:
            self._log(f"No more trials of {name}: {lost[name]}")
        self._given_up = set(lost)
        return [name for name in self._accounts if name not in lost] or [*self._accounts]

    def _cannot_win(self, name: str) -> str:
        """Why an architecture cannot win; "" where it may."""
        own = self._accounts[name]
        if own.ended < LEAST_TRIALS:
            return ""
        if not own.scored:
            return f"none of its {own.ended} trials has a score"
        bests = {other: account.best for other, account in self._accounts.items() if account.best is not None}
        if own.best is None or not bests:
            return ""
        leader = min(bests, key=lambda other: bests[other].rank)
        ahead = bests[leader].value - own.best.value
        luck = DEVIATIONS * math.sqrt(self._luck.variance(bests[leader]) + self._luck.variance(own.best))
        if ahead <= luck:
            return ""
        score = self._luck.score
        return (
            f"its best score, {score.label} {score.text(own.best.value)}, lies {score.distance(ahead)} below that of "
            f"{leader}, and luck explains up to {score.digits(luck)}"
        )


def _seconds(trial: TrialRecord) -> float:
    return trial.setup_seconds + trial.train_seconds
