"""How numbers, counts, intervals, caveats and the way on are said: once, for pages, terminal and model cards."""

from __future__ import annotations

import math
import re
import shlex
import sys
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeGuard

from ser_core.features.placement import Placement, Where
from ser_core.named_scores import NONE as NONE
from ser_core.named_scores import UAR, Score

GAIN_OF_MIXED_SPEAKERS = "10 to 21"
"""Points of UAR, measured on RAVDESS: ComParE features with a linear SVM reach 72.9 % on a random split and 56.6 % on
unseen speakers."""

BIDI_CONTROLS = "\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069"
"""Turn the direction of what follows, so that a name can look like another one."""

Bounds = Sequence[float | None]
"""Low and high end of an interval; None or NaN where it is not defined."""


def value_text(value: object) -> str:
    """A knob's value, or any number, to three significant digits: 0.000312, 3.1e-05, True, adamw."""
    if isinstance(value, bool) or not isinstance(value, float):
        return str(value)
    return f"{value:.3g}"


def is_number(share: float | None) -> TypeGuard[float]:
    """False for None, NaN and infinity."""
    return share is not None and math.isfinite(share)


def points(share: float | None) -> str:
    """0.6834 -> "68.3", as below a heading that has the unit; `NONE` where there is no number."""
    return f"{100 * share:.1f}" if is_number(share) else NONE


def percent(share: float | None) -> str:
    """0.6834 -> "68.3 %"; `NONE` where there is no number."""
    return f"{100 * share:.1f} %" if is_number(share) else NONE


def in_percent(share: float | None) -> float | None:
    """0.68341 -> 68.34, as a table has it; None where there is no number."""
    return round(100 * share, 2) if is_number(share) else None


def interval(bounds: Bounds | None, *, speakers: int | None = None, score: Score = UAR, unit: str | None = None) -> str:
    """(0.61, 0.7) -> "61.0 to 70.0 %"; where it is not defined the reason, if the number of speakers is given.

    Args:
        score: whose bounds they are, which decides how they are written; by default a share.
        unit: what follows; None for the unit of the score.
    """
    low, high = bounds or (None, None)
    if is_number(low) and is_number(high):
        return f"{score.digits(low)} to {score.digits(high)}{score.unit if unit is None else unit}"
    if bounds is None or speakers is None:
        return NONE
    return "no interval: one test speaker" if speakers == 1 else "no interval: all speakers score alike"


def rating_scales(names: Sequence[str], scales: Mapping[str, Sequence[float]]) -> str:
    """On which scales ratings are, as a sentence: "Rated are arousal from 1 to 5, valence from -3 to 3."

    Args:
        scales: dimension -> the lowest and the highest rating, as far as they are known.
    """
    known = {name: f"from {scales[name][0]:g} to {scales[name][1]:g}" for name in names if name in scales}
    parts = [f"{name} {known.get(name, 'on a scale that the data do not say')}" for name in names]
    return f"Rated are {', '.join(parts)}."


def spread(mean: float | None, std: float | None, *, score: Score = UAR, unit: str | None = None) -> str:
    """(0.683, 0.021) -> "68.3 ± 2.1 %"; the mean alone where it has no deviation, as for a single seed.

    `score` and `unit` as for `interval`.
    """
    if not is_number(mean):
        return NONE
    deviation = f" ± {score.digits(std)}" if is_number(std) else ""
    return f"{score.digits(mean)}{deviation}{score.unit if unit is None else unit}"


def count(number: int, word: str, plural: str = "") -> str:
    """1 trial, 1,200 trials."""
    return f"{number:,} {word if number == 1 else plural or word + 's'}"


def printable(text: object) -> str:
    """The text for a terminal: control characters, which may come from a file's name, are spelt out as \\x1b."""

    def shown(character: str) -> str:
        hidden = unicodedata.category(character) in ("Cc", "Cs") or character in BIDI_CONTROLS
        return character.encode("unicode_escape").decode() if hidden and character not in "\n\t" else character

    return "".join(map(shown, str(text)))


def clip_text(clip_id: str) -> str:
    """A clip's name as people read it: "../../../data/a.wav", which lies far from its manifest, is "…/data/a.wav"."""
    return re.sub(r"^(\.\./)+", "…/", clip_id)


def bytes_text(size: float) -> str:
    """A size of data: "49 KiB", "0.4 MiB", "612 MiB", "3.1 GiB"."""
    for unit, name, least in ((2**30, "GiB", 1), (2**20, "MiB", 0.1), (2**10, "KiB", 0.1)):
        if size >= least * unit:
            return f"{size / unit:,.{int(size < 10 * unit)}f} {name}"
    return f"{size:.0f} B"


def placement_sentence(placement: Placement) -> str:
    """Where a trial's clips come from, and why."""
    size = bytes_text(placement.size_bytes)
    match placement.where:
        case Where.RESIDENT:
            return f"Clips are resident: {size} of features in the memory of the device"
        case Where.MAPPED:
            room = bytes_text(placement.room_bytes)
            return f"Clips are streamed from a memory map: {size} of features, of which a trial may hold {room}"
        case Where.FILES:
            return f"Clips are read from the audio files as they are wanted: a store of them would take {size}"


def times(number: int) -> str:
    """once, 3 times."""
    return "once" if number == 1 else f"{number:,} times"


def duration(seconds: float) -> str:
    """42 s, 12 min, 3 h 05 min."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 90 else f"{minutes // 60} h {minutes % 60:02d} min"


def resume_command(folder: Path) -> str:
    """The command that goes on with a run, or with the runs of a batch, as this program was started."""
    program = Path(sys.argv[0])
    if program.name == "ser-search":
        words = [program.name]
    elif program.name == "run.py":
        words = ["python", str(program)]
    else:  # `ser`, or Python, which has its own way and can take this one
        words = ["ser", "search"]
    return shlex.join([*words, "--resume", str(folder)])


@dataclass(frozen=True, kw_only=True)
class CaveatFacts:
    """What decides which caveats hold for the scores of a run.

    Attributes:
        synthetic: no person spoke the audio.
        speakers_mixed: test speakers are heard in training.
        transductive: features are normalised by speaker, for which all clips of the test speakers are needed.
        tuned_on: test speakers that an earlier study was tuned on, of which this run takes configurations.
        tuned_in: that study.
        taken_over: nothing is searched; the configuration is that of the earlier study.
        start: the model whose weights the run began with, where that has seen the test or does not say what it has.
        heard_clips, heard_speakers: test clips and test speakers that it has seen.
        test_reads: how often the test set was read.
    """

    synthetic: bool
    speakers_mixed: bool
    transductive: bool
    tuned_on: tuple[str, ...] = ()
    tuned_in: str = ""
    taken_over: bool = False
    start: str = ""
    heard_clips: int = 0
    heard_speakers: tuple[str, ...] = ()
    test_reads: int = 0


@dataclass(frozen=True)
class Caveat:
    """What readers of a score must not overlook.

    Attributes:
        title: a few words with a full stop.
        short: what follows the title where names of runs follow: "Features are normalised by … test speaker".
        long: what follows the title where one run is described, in whole sentences.
        tag: what stands in brackets behind a name: "synthetic corpus".
    """

    title: str
    short: str
    long: str
    tag: str


def caveats(facts: CaveatFacts) -> list[Caveat]:
    """The caveats that hold, always in the same order."""
    return [caveat for holds, caveat in _rules(facts) if holds]


def caveats_of_several(runs: Sequence[tuple[str, CaveatFacts]]) -> list[tuple[str, str]]:
    """Title and text of each caveat that holds for any of the runs: ("Transductive.", "… test speaker: ast, mlp.")."""
    found = []
    for rules in zip(*(_rules(facts) for _, facts in runs), strict=True):
        names = dict.fromkeys(name for (name, _), (holds, _) in zip(runs, rules, strict=True) if holds)
        if names:
            caveat = rules[0][1]
            found.append((caveat.title, f"{caveat.short}: {', '.join(names)}."))
    return found


def _rules(facts: CaveatFacts) -> list[tuple[bool, Caveat]]:
    """Every caveat, and whether it holds."""
    return [
        (facts.synthetic, SYNTHETIC),
        (facts.speakers_mixed, SPEAKERS_MIXED),
        (facts.transductive, TRANSDUCTIVE),
        (bool(facts.tuned_on), _tuned_on_test_speakers(facts)),
        (bool(facts.heard_clips or facts.heard_speakers), _heard_the_test(facts)),
        (bool(facts.start) and not (facts.heard_clips or facts.heard_speakers), _unknown_start(facts)),
        (facts.test_reads > 1, _read_again(facts)),
    ]


def tags(facts: CaveatFacts) -> str:
    """ " (synthetic corpus, transductive)", to follow a name; "" where no caveat holds."""
    words = ", ".join(caveat.tag for caveat in caveats(facts))
    return f" ({words})" if words else ""


SYNTHETIC = Caveat(
    title="Synthetic corpus.",
    short="No person spoke this audio, so the scores say nothing about speech",
    long="No person spoke this audio. The scores show that the program works; they say nothing about speech.",
    tag="synthetic corpus",
)
SPEAKERS_MIXED = Caveat(
    title="Not speaker-independent.",
    short=f"Test speakers are heard in training, which raises scores, UAR by {GAIN_OF_MIXED_SPEAKERS} points",
    long=f"Test speakers are heard in training. On unseen speakers the same model scores lower, "
    f"{GAIN_OF_MIXED_SPEAKERS} points where it was measured (UAR); do not compare these scores with "
    f"speaker-independent ones.",
    tag="not speaker-independent",
)
TRANSDUCTIVE = Caveat(
    title="Transductive.",
    short="Features are normalised by all clips of each test speaker",
    long="Features are normalised by all clips of a speaker, the test speakers' unlabelled ones too. The scores do not "
    "hold for a single clip of a new speaker; do not compare them with those of other systems.",
    tag="transductive",
)


TUNED_ON_TEST_SPEAKERS = "Tuned on test speakers."


def _tuned_on_test_speakers(facts: CaveatFacts) -> Caveat:
    origin = "The configuration is that of" if facts.taken_over else "The search began with configurations of"
    return Caveat(
        title=TUNED_ON_TEST_SPEAKERS,
        short="The configuration comes from an earlier search on them",
        long=f"{origin} {facts.tuned_in}, which was tuned on test speakers of this run ({', '.join(facts.tuned_on)}). "
        f"The test score is therefore not one on speakers that nothing was tuned on.",
        tag="tuned on test speakers",
    )


def _heard_the_test(facts: CaveatFacts) -> Caveat:
    clips = [f"trained on {count(facts.heard_clips, 'test clip')} of this run"] if facts.heard_clips else []
    names = ", ".join(facts.heard_speakers)
    speakers = [f"trained or tuned on clips of its test speakers ({names})"] if names else []
    return Caveat(
        title="Begins with a model that has heard the test.",
        short="The first weights are of a model that was trained or tuned on test clips or test speakers",
        long=f"The first weights are those of {facts.start}, which was {' and '.join([*clips, *speakers])}. The test "
        f"score is therefore not one on unseen speech.",
        tag="begins with a model that has heard the test",
    )


def _unknown_start(facts: CaveatFacts) -> Caveat:
    return Caveat(
        title="Begins with a model of unknown training.",
        short="Whether the model of the first weights was trained on test clips cannot be told",
        long=f"The first weights are those of {facts.start}, which does not say which clips it, or a model that it "
        f"began with, was trained on. Whether test clips are among them cannot be told.",
        tag="begins with a model of unknown training",
    )


def _read_again(facts: CaveatFacts) -> Caveat:
    return Caveat(
        title="The test set was read more than once.",
        short="Scores are too high where a choice followed a look at them",
        long=f"It was read {times(facts.test_reads)}; scores are too high where a choice followed a look at them.",
        tag=f"test set read {times(facts.test_reads)}",
    )
