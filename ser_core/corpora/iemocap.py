"""IEMOCAP, the Interactive Emotional Dyadic Motion Capture database.

12 hours of 10 actors in 5 sessions of a woman and a man each, played and improvised, 16 kHz WAV. Clips lie in
`SessionN/sentences/wav/DIALOGUE`, labels in `SessionN/dialog/EmoEvaluation/*.txt`. A name is `dialogue_speaker and
number`: Ses01F_impro04_M003 is said by the man, whatever the letter of the dialogue.

Clips without agreement (`xxx`) and of other emotions (`oth`) are left out, unless `--classes` names `no_agreement` or
`other`; ratings (`--target arousal,valence,dominance`) are of all clips. The field's four classes of 5,531 clips,
which EmoBox uses too, are `--classes neutral,happy=happy+excited,sad,angry`. Valence, arousal and dominance are kept
as columns.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from ser_core.clips import NO_AGREEMENT, OTHER
from ser_core.corpora._names import Names
from ser_core.corpora._scan import Labels
from ser_core.corpora._source import elsewhere
from ser_core.corpora._tables import Row, Table

CITATION = (
    "Busso C, Bulut M, Lee CC, Kazemzadeh A, Mower E, Kim S, Chang JN, Lee S, Narayanan SS (2008). IEMOCAP: "
    "interactive emotional dyadic motion capture database. Language Resources and Evaluation 42(4), 335-359. "
    "https://doi.org/10.1007/s10579-008-9076-6"
)
LICENCE = "research only, by request to the University of Southern California"
SYNTHETIC = False
SOURCE = "https://sail.usc.edu/iemocap/iemocap_release.htm"

EMOTIONS = {
    "ang": "angry",
    "dis": "disgust",
    "exc": "excited",
    "fea": "fearful",
    "fru": "frustrated",
    "hap": "happy",
    "neu": "neutral",
    "sad": "sad",
    "sur": "surprised",
    "oth": OTHER,
    "xxx": NO_AGREEMENT,
}

# Ma et al. 2024, "EmoBox", arXiv 2406.07162: one session is tested, from data/iemocap of its repository
FOLDS = {"emobox": tuple((f"Ses0{session}F", f"Ses0{session}M") for session in range(1, 6))}
SCALE = dict.fromkeys(("arousal", "valence", "dominance"), (1, 5))

EXAMPLES = {
    "Session1/sentences/wav/Ses01F_impro04/Ses01F_impro04_M003.wav": Labels(
        clip_id="Ses01F_impro04_M003",
        speaker="Ses01M",
        emotion="frustrated",
        gender="male",
        language="en",
        session="Ses01",
        further={"valence": "2.5000", "arousal": "3.0000", "dominance": "3.5000"},
    ),
    "IEMOCAP_full_release/Session5/sentences/wav/Ses05M_script02_2/Ses05M_script02_2_F005.wav": Labels(
        clip_id="Ses05M_script02_2_F005",
        speaker="Ses05F",
        emotion="angry",
        gender="female",
        language="en",
        session="Ses05",
        further={"valence": "1.6667", "arousal": "4.0000", "dominance": "4.3333"},
    ),
}
EXAMPLE_TABLES = {
    "Session1/dialog/EmoEvaluation/Ses01F_impro04.txt": (
        "% [START_TIME - END_TIME] TURN_NAME EMOTION [V, A, D]\n\n"
        "[6.2901 - 8.2357]\tSes01F_impro04_M003\tfru\t[2.5000, 3.0000, 3.5000]\nC-E2:\tNeutral;\t()\n"
    ),
    "IEMOCAP_full_release/Session5/dialog/EmoEvaluation/Ses05M_script02_2.txt": (
        "[10.0100 - 11.3925]\tSes05M_script02_2_F005\tang\t[1.6667, 4.0000, 4.3333]\n"
    ),
}

_LINE = re.compile(r"\[[\d. -]+\]\t(\w+)\t([a-z]{3})\t\[([\d.]+), ([\d.]+), ([\d.]+)\]")


def _rows(path: Path) -> Iterator[tuple[str, Row]]:
    for turn, emotion, valence, arousal, dominance in _LINE.findall(path.read_text()):
        yield turn, {"emotion": emotion, "valence": valence, "arousal": arousal, "dominance": dominance}


TABLE = Table(files=("dialog/EmoEvaluation/Ses*.txt",), rows=_rows)
labels = Names(
    patterns=(r"sentences/wav/\w+/(?P<session>Ses0[1-5])[FM]_\w+_(?P<gender>[FM])[A-Z]?\d{2,3}",),
    example="sentences/wav/Ses01F_impro04/Ses01F_impro04_M003",
    emotions=EMOTIONS,
    speaker="{session}{gender}",
    genders={"F": "female", "M": "male"},
    gender="{gender}",
    language="en",
    session="{session}",
    others=r"dialog/.*",
)
obtain = elsewhere("iemocap", SOURCE)
