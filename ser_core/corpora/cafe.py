"""CaFE, the Canadian French Emotional speech dataset.

936 clips of 12 actors (6 female, 6 male), 6 sentences, 7 emotions, two intensities, 48 kHz WAV, in folders
`emotion/intensity` whose names lose their accents in some archives. A name is `speaker-emotion-intensity-sentence`.
"""

from __future__ import annotations

from ser_core.corpora._names import Names
from ser_core.corpora._scan import Labels
from ser_core.corpora._source import elsewhere

CITATION = (
    "Gournay P, Lahaie O, Lefebvre R (2018). A Canadian French emotional speech dataset. Proc. ACM MMSys 2018, "
    "399-402. https://doi.org/10.1145/3204949.3208121"
)
LICENCE = "CC BY-NC-SA 4.0"
SYNTHETIC = False
SOURCE = "https://zenodo.org/records/1478765"

EMOTIONS = {
    "C": "angry",  # colère
    "D": "disgust",  # dégoût
    "J": "happy",  # joie
    "N": "neutral",
    "P": "fearful",  # peur
    "S": "surprised",
    "T": "sad",  # tristesse
}
SPEAKERS = tuple(f"{actor:02d}" for actor in range(1, 13))

# Ma et al. 2024, "EmoBox", arXiv 2406.07162: test speakers of each fold, from data/cafe of its repository
FOLDS = {
    "emobox": (
        (
            "01",
            "07",
            "08",
            "10",
        ),
        (
            "02",
            "04",
            "09",
            "12",
        ),
        (
            "03",
            "05",
            "06",
            "11",
        ),
    )
}

EXAMPLES = {
    "CaFE_48k/Peur/Fort/12-P-2-5.wav": Labels(
        clip_id="12-P-2-5", speaker="12", emotion="fearful", gender="female", language="fr"
    ),
    "Neutre/01-N-1-3.wav": Labels(clip_id="01-N-1-3", speaker="01", emotion="neutral", gender="male", language="fr"),
}

labels = Names(
    patterns=(r"(?P<speaker>0[1-9]|1[0-2])-(?P<emotion>[A-Z])-[12]-[1-6]",),
    example="12-P-2-5",
    emotions=EMOTIONS,
    genders={speaker: "male" if int(speaker) % 2 else "female" for speaker in SPEAKERS},
    language="fr",
)
obtain = elsewhere("cafe", SOURCE)
