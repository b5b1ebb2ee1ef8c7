"""What a run takes from earlier ones: configurations to try, or a model whose weights its own begin with."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from spaces.knobs import Value


@dataclass(frozen=True, kw_only=True)
class WarmStart:
    """What a run takes from an earlier study.

    Attributes:
        source: run folder, or storage and study; without a password.
        configurations: partial ones within the run's space, the best first.
        notes: what did not fit, one line each.
        corpus: of the earlier study; "" when that is not known.
        speakers: of that corpus, whose clips the earlier study and those before it were tuned on.
        test_speakers: those of them that are test speakers of the new run: its score is then not one on speakers that
            nothing was tuned on.
        alone: nothing is searched; the one configuration, that run's winner, goes straight to the finals.
    """

    source: str
    configurations: Sequence[Mapping[str, Value]]
    notes: Sequence[str] = ()
    corpus: str = ""
    speakers: Sequence[str] = ()
    test_speakers: Sequence[str] = ()
    alone: bool = False

    def tested_on(self, corpus: str, speakers: Iterable[str]) -> WarmStart:
        """The same for a run whose test speakers, of `corpus`, are these."""
        tuned_on = {_with_corpus(self.corpus, speaker) for speaker in self.speakers}
        heard = {speaker for speaker in speakers if _with_corpus(corpus, speaker) in tuned_on}
        return replace(self, test_speakers=sorted(heard))


def _with_corpus(corpus: str, speaker: str) -> str:
    """A speaker's name beside other corpora, which speakers of several joined corpora have anyway."""
    joined = "+" in corpus and speaker.startswith(tuple(f"{name}/" for name in corpus.split("+")))
    return speaker if joined else f"{corpus}/{speaker}"


@dataclass(frozen=True, kw_only=True)
class Seen:
    """Speech that a model has seen.

    Attributes:
        model: folder of the model.
        corpus, speakers: names.
        trained: True where it was trained on clips of these speakers, or chosen on them; False where only an earlier
            study was tuned on them, whose configurations the model's run began with.
        synthetic: no person spoke it.
    """

    model: str
    corpus: str
    speakers: Sequence[str]
    trained: bool = True
    synthetic: bool = False


@dataclass(frozen=True, kw_only=True)
class Start:
    """The trained model whose weights those of a run begin with.

    Attributes:
        source: its folder. weights_sha256: of its weights, as they were when the run was planned.
        classes: that it tells apart; where they are not those of the run, the run's classifier is new.
        seen: what it has seen, and then what the model has that it began with itself, and so on.
        clips_known: all of these models say which clips they were trained on.
        test_clips: test clips of this run that are known to be among them.
        test_speakers: test speakers of this run among those that it has seen, by name and corpus.
    """

    source: str
    weights_sha256: str
    classes: Sequence[str]
    seen: Sequence[Seen]
    clips_known: bool
    test_clips: int = 0
    test_speakers: Sequence[str] = ()

    def speakers_among(self, corpus: str, speakers: Iterable[str]) -> list[str]:
        """Those of the speakers of a corpus whom it has seen."""
        seen = {_with_corpus(each.corpus, speaker) for each in self.seen for speaker in each.speakers}
        return sorted({speaker for speaker in speakers if _with_corpus(corpus, speaker) in seen})
