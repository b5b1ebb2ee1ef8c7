"""MESD, the Mexican Emotional Speech Database.

862 clips of single words, 6 emotions, 48 kHz WAV. A name is `emotion_voice_corpus_word`; voices are female, male or of
children. It does not tell the speakers of a voice apart, so that each voice counts as one speaker here.
"""

from __future__ import annotations

from ser_core.corpora._names import Names
from ser_core.corpora._scan import Labels
from ser_core.corpora._source import elsewhere

CITATION = (
    "Duville MM, Alonso-Valerdi LM, Ibarra-Zarate DI (2021). The Mexican Emotional Speech Database (MESD): "
    "elaboration and assessment based on machine learning. Proc. EMBC 2021, 1644-1647. "
    "https://doi.org/10.1109/EMBC46164.2021.9629934"
)
LICENCE = "CC BY 4.0"
SYNTHETIC = False
SOURCE = "https://data.mendeley.com/datasets/cy34mh68j9/5"

EMOTIONS = {
    "Anger": "angry",
    "Disgust": "disgust",
    "Fear": "fearful",
    "Happiness": "happy",
    "Neutral": "neutral",
    "Sadness": "sad",
}

EXAMPLES = {
    "Mexican Emotional Speech Database (MESD)/Anger_F_B_ofensa.wav": Labels(
        clip_id="Anger_F_B_ofensa", speaker="F", emotion="angry", gender="female", language="es"
    ),
    "Fear_C_A_de_pronto.wav": Labels(
        clip_id="Fear_C_A_de_pronto", speaker="C", emotion="fearful", gender=None, language="es"
    ),
}

labels = Names(
    patterns=(r"(?P<emotion>[A-Z][a-z]+)_(?P<speaker>[FMC])_[AB]_.+",),
    example="Anger_F_B_ofensa",
    emotions=EMOTIONS,
    genders={"F": "female", "M": "male"},
    language="es",
)
obtain = elsewhere("mesd", SOURCE)
