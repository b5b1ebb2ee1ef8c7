"""Oréau, a French emotional speech database (second version).

434 clips of 32 speakers, 7 emotions, 44.1 kHz WAV, in folders `f/sessc` to `m/sesst`. A name is two digits for the
speaker, three characters for the sentence, the initial of the French word for the emotion, and the version.
"""

from __future__ import annotations

from ser_core.corpora._names import Names
from ser_core.corpora._scan import Labels
from ser_core.corpora._source import elsewhere

CITATION = (
    "Kerkeni L, Cleder C, Serrestou Y, Raoof K (2020). French emotional speech database - Oréau. Zenodo. "
    "https://doi.org/10.5281/zenodo.4405783"
)
LICENCE = "not stated with the corpus; ask its authors"
SYNTHETIC = False
SOURCE = "https://zenodo.org/records/4405783"

EMOTIONS = {
    "C": "angry",  # colère
    "D": "disgust",  # dégoût
    "J": "happy",  # joie
    "N": "neutral",
    "P": "fearful",  # peur
    "S": "surprised",
    "T": "sad",  # tristesse
}

EXAMPLES = {
    "OréauFR_02/f/sessj/10a02Ja.wav": Labels(
        clip_id="10a02Ja", speaker="10", emotion="happy", gender="female", language="fr"
    ),
    "m/sessc/36a08Ca.wav": Labels(clip_id="36a08Ca", speaker="36", emotion="angry", gender="male", language="fr"),
}

labels = Names(
    patterns=(r"(?P<gender>[fm])/sess[cdjnpst]/(?P<speaker>\d\d)[az]\d\d(?P<emotion>[A-Z])[a-z]?",),
    example="f/sessj/10a02Ja",
    emotions=EMOTIONS,
    genders={"f": "female", "m": "male"},
    gender="{gender}",
    language="fr",
)
obtain = elsewhere("oreau", SOURCE)
