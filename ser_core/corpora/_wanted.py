"""Which labels of a corpus are wanted, so that its clips are kept or left out accordingly."""

from __future__ import annotations

from dataclasses import dataclass

from ser_core.clips import UNDECIDED, words_in
from ser_core.ratings import VOTES_FOR
from ser_core.targets import DIMENSIONS, EMOTION, VOTES, kind_of

LISTENERS = frozenset(("annotator", "annotator_id", "rater", "rater_id", "listener", "evaluator", "worker"))
"""Columns that say whose vote a line is, which does not matter."""


@dataclass(frozen=True)
class Wanted:
    """What is to be predicted of the clips.

    Attributes:
        kind: of the target. columns: of the manifest, with ratings.
        kept: words of `UNDECIDED` that are classes here.
    """

    kind: str = EMOTION
    columns: frozenset[str] = frozenset()
    kept: frozenset[str] = frozenset()

    @classmethod
    def of(cls, target: str, classes: str | None) -> Wanted:
        """What a value of `--target` and one of `--classes` ask for."""
        kind, kept = kind_of(target), frozenset(UNDECIDED) & words_in(classes)
        columns = frozenset(name.strip().lower() for name in target.split(",")) if kind == DIMENSIONS else frozenset()
        return cls(kind, columns, frozenset(UNDECIDED) if kind == DIMENSIONS else kept)

    @property
    def emotion(self) -> bool:
        """A clip needs a word for its emotion."""
        return self.kind == EMOTION

    @property
    def several_lines(self) -> bool:
        """Several lines may be of one clip, each the vote of a listener."""
        return self.kind == VOTES

    def uses(self, column: str) -> bool:
        """Whether a column of a manifest that has no other meaning is used, so that nobody need be warned of it."""
        of_votes = column in LISTENERS or column.startswith(VOTES_FOR)
        return column in self.columns or (self.several_lines and of_votes)

    def keeps(self, word: str) -> bool:
        """Whether clips of an emotion stay."""
        return word not in UNDECIDED or word in self.kept


EMOTIONS = Wanted()
"""The usual: a word for each clip."""
