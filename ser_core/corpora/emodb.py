"""EMO-DB, the Berlin Database of Emotional Speech.

535 clips of 10 actors (5 female, 5 male), 10 sentences, 7 emotions, 16 kHz WAV, in a folder `wav`. A name is two
digits for the speaker, three characters for the sentence, the initial of the German word for the emotion, and the
version.
"""

from __future__ import annotations

from ser_core.corpora._names import Names
from ser_core.corpora._scan import Labels
from ser_core.corpora._source import elsewhere

CITATION = (
    "Burkhardt F, Paeschke A, Rolfes M, Sendlmeier WF, Weiss B (2005). A database of German emotional speech. Proc. "
    "Interspeech 2005, 1517-1520. https://doi.org/10.21437/Interspeech.2005-446"
)
LICENCE = "not stated with the corpus; ask its authors"
SYNTHETIC = False
SOURCE = "http://emodb.bilderbar.info/"

EMOTIONS = {
    "W": "angry",  # Wut
    "L": "boredom",  # Langeweile
    "E": "disgust",  # Ekel
    "A": "fearful",  # Angst
    "F": "happy",  # Freude
    "T": "sad",  # Trauer
    "N": "neutral",
}
GENDERS = {
    **dict.fromkeys(("03", "10", "11", "12", "15"), "male"),
    **dict.fromkeys(("08", "09", "13", "14", "16"), "female"),
}

EXAMPLES = {
    "wav/03a01Fa.wav": Labels(clip_id="03a01Fa", speaker="03", emotion="happy", gender="male", language="de"),
    "16b10Wb.wav": Labels(clip_id="16b10Wb", speaker="16", emotion="angry", gender="female", language="de"),
}

labels = Names(
    patterns=(r"(?P<speaker>03|08|09|1[0-6])[ab]\d\d(?P<emotion>[A-Z])[a-f]?",),
    example="03a01Fa",
    emotions=EMOTIONS,
    genders=GENDERS,
    language="de",
)
obtain = elsewhere("emodb", SOURCE)
