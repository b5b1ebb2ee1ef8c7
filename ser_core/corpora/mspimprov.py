"""MSP-IMPROV: dyadic improvisations of 12 actors in 6 sessions.

Clips lie in `sessionN/SCENARIO/TYPE`, labels in `Evaluation.txt`. In `MSP-IMPROV-S01A-F01-P-FM01`, F01 is the speaker:
the woman of session 1. Clips without agreement (X) and of other emotions (O) are left out, unless `--classes` names
`no_agreement` or `other`; ratings (`--target arousal,valence,dominance`) are of all clips. Arousal, valence and
dominance are kept as columns.
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
    "Busso C, Parthasarathy S, Burmania A, AbdelWahab M, Sadoughi N, Mower Provost E (2017). MSP-IMPROV: an acted "
    "corpus of dyadic interactions to study emotion perception. IEEE Transactions on Affective Computing 8(1), "
    "67-80. https://doi.org/10.1109/TAFFC.2016.2515617"
)
LICENCE = "academic licence of the University of Texas at Dallas, by request"
SYNTHETIC = False
SOURCE = "https://ecs.utdallas.edu/research/researchlabs/msp-lab/MSP-Improv.html"

EMOTIONS = {"A": "angry", "H": "happy", "N": "neutral", "S": "sad", "O": OTHER, "X": NO_AGREEMENT}
SCALE = dict.fromkeys(("arousal", "valence", "dominance"), (1, 5))

EXAMPLES = {
    "session1/S01A/P/MSP-IMPROV-S01A-F01-P-FM01.wav": Labels(
        clip_id="MSP-IMPROV-S01A-F01-P-FM01",
        speaker="F01",
        emotion="sad",
        gender="female",
        language="en",
        session="01",
        further={"arousal": "2.5", "valence": "1.75", "dominance": "3.0"},
    ),
    "MSP-IMPROV/session6/S13N/T/MSP-IMPROV-S13N-M06-T-MF02.wav": Labels(
        clip_id="MSP-IMPROV-S13N-M06-T-MF02",
        speaker="M06",
        emotion="neutral",
        gender="male",
        language="en",
        session="06",
        further={"arousal": "3.0", "valence": "3.2", "dominance": "2.8"},
    ),
}
EXAMPLE_TABLES = {
    "Evaluation.txt": (
        "UTD-IMPROV-S01A-F01-P-FM01.avi; S; A:2.5; V:1.75; D:3.0 ; N:2.6;\nW1; Sad; A:2.0; V:2.0; D:3.0 ; N:3.0;\n\n"
        "UTD-IMPROV-S13N-M06-T-MF02.avi; N; A:3.0; V:3.2; D:2.8 ; N:3.5;\n"
    )
}

_LINE = re.compile(
    r"^UTD-(IMPROV-[\w-]+)\.avi; *([A-Z]); *A: *([\d.]+) *; *V: *([\d.]+) *; *D: *([\d.]+)", re.MULTILINE
)


def _rows(path: Path) -> Iterator[tuple[str, Row]]:
    for turn, emotion, arousal, valence, dominance in _LINE.findall(path.read_text()):
        yield f"MSP-{turn}", {"emotion": emotion, "arousal": arousal, "valence": valence, "dominance": dominance}


TABLE = Table(files=("Evaluation.txt",), rows=_rows)
labels = Names(
    patterns=(r"MSP-IMPROV-S\d\d[A-Z]-(?P<speaker>(?P<gender>[FM])(?P<session>0[1-6]))-[A-Z]-\w+",),
    example="MSP-IMPROV-S01A-F01-P-FM01",
    emotions=EMOTIONS,
    genders={"F": "female", "M": "male"},
    gender="{gender}",
    language="en",
    session="{session}",
)
obtain = elsewhere("mspimprov", SOURCE)
