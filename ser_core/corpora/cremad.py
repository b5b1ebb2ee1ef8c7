"""CREMA-D, the Crowd-sourced Emotional Multimodal Actors Dataset.

7,442 clips of 91 actors (43 female, 48 male), 12 sentences, 6 emotions, 16 kHz WAV, in a folder `AudioWAV`; re-packed
copies keep the names. A name is `actor_sentence_emotion_level`.
"""

from __future__ import annotations

from ser_core.corpora._names import Names
from ser_core.corpora._scan import Labels
from ser_core.corpora._source import elsewhere

CITATION = (
    "Cao H, Cooper DG, Keutmann MK, Gur RC, Nenkova A, Verma R (2014). CREMA-D: Crowd-sourced Emotional Multimodal "
    "Actors Dataset. IEEE Transactions on Affective Computing 5(4), 377-390. "
    "https://doi.org/10.1109/TAFFC.2014.2336244"
)
LICENCE = "Open Database License 1.0; contents: Database Contents License 1.0"
SYNTHETIC = False
SOURCE = "https://github.com/CheyneyComputerScience/CREMA-D"

EMOTIONS = {"ANG": "angry", "DIS": "disgust", "FEA": "fearful", "HAP": "happy", "NEU": "neutral", "SAD": "sad"}
FEMALE = (
    1002, 1003, 1004, 1006, 1007, 1008, 1009, 1010, 1012, 1013, 1018, 1020, 1021, 1024, 1025, 1028, 1029, 1030,
    1037, 1043, 1046, 1047, 1049, 1052, 1053, 1054, 1055, 1056, 1058, 1060, 1061, 1063, 1072, 1073, 1074, 1075,
    1076, 1078, 1079, 1082, 1084, 1089, 1091,
)  # fmt: skip
"""Actors, of VideoDemographics.csv; the others are male."""

EXAMPLES = {
    "AudioWAV/1001_DFA_ANG_XX.wav": Labels(
        clip_id="1001_DFA_ANG_XX", speaker="1001", emotion="angry", gender="male", language="en"
    ),
    "Crema/1091_WSI_SAD_HI.wav": Labels(
        clip_id="1091_WSI_SAD_HI", speaker="1091", emotion="sad", gender="female", language="en"
    ),
}

labels = Names(
    patterns=(r"(?P<speaker>10\d\d)_[A-Z]{3}_(?P<emotion>[A-Z]{3})_(?:LO|MD|HI|XX|X)",),
    example="1001_DFA_ANG_XX",
    emotions=EMOTIONS,
    genders={f"{actor}": "female" if actor in FEMALE else "male" for actor in range(1001, 1092)},
    language="en",
)
obtain = elsewhere("cremad", SOURCE)
