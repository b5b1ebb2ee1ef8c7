"""SUBESCO, the SUST Bangla Emotional Speech Corpus.

7,000 clips of 20 actors (10 female, 10 male), 10 sentences, 7 emotions, 5 takes, 48 kHz WAV. A name is
`gender_speaker_name_S_sentence_emotion_take`.
"""

from __future__ import annotations

from ser_core.corpora._names import Names
from ser_core.corpora._scan import Labels
from ser_core.corpora._source import elsewhere

CITATION = (
    "Sultana S, Rahman MS, Selim MR, Iqbal MZ (2021). SUST Bangla Emotional Speech Corpus (SUBESCO): an audio-only "
    "emotional speech corpus for Bangla. PLoS ONE 16(4): e0250173. https://doi.org/10.1371/journal.pone.0250173"
)
LICENCE = "CC BY 4.0"
SYNTHETIC = False
SOURCE = "https://zenodo.org/records/4526477"

EMOTIONS = {
    "ANGRY": "angry",
    "DISGUST": "disgust",
    "FEAR": "fearful",
    "HAPPY": "happy",
    "NEUTRAL": "neutral",
    "SAD": "sad",
    "SURPRISE": "surprised",
}

# Ma et al. 2024, "EmoBox", arXiv 2406.07162: test speakers of each fold, from data/subesco of its repository
FOLDS = {
    "emobox": (
        (
            "F_03",
            "M_03",
            "M_08",
            "M_09",
        ),
        (
            "F_01",
            "F_04",
            "F_10",
            "M_07",
        ),
        (
            "F_06",
            "F_08",
            "M_05",
            "M_06",
        ),
        (
            "F_05",
            "F_07",
            "F_09",
            "M_04",
        ),
        (
            "F_02",
            "M_01",
            "M_02",
            "M_10",
        ),
    )
}

EXAMPLES = {
    "F_02_MONIKA_S_1_NEUTRAL_5.wav": Labels(
        clip_id="F_02_MONIKA_S_1_NEUTRAL_5", speaker="F_02", emotion="neutral", gender="female", language="bn"
    ),
    "SUBESCO/M_10_EVAN_S_8_DISGUST_2.wav": Labels(
        clip_id="M_10_EVAN_S_8_DISGUST_2", speaker="M_10", emotion="disgust", gender="male", language="bn"
    ),
}

labels = Names(
    patterns=(r"(?P<speaker>(?P<gender>[FM])_\d\d)_[A-Z]+_S_\d+_(?P<emotion>[A-Z]+)_\d\]?",),
    example="F_02_MONIKA_S_1_NEUTRAL_5",
    emotions=EMOTIONS,
    genders={"F": "female", "M": "male"},
    gender="{gender}",
    language="bn",
)
obtain = elsewhere("subesco", SOURCE)
