"""ESD, the Emotional Speech Database.

35,000 clips of 20 speakers, 10 of Mandarin (0001 to 0010) and 10 of English, 350 parallel sentences in 5 emotions, 16
kHz WAV, in folders `speaker/emotion`, in some releases with `train`, `evaluation` and `test` below. A name is
`speaker_number`.
"""

from __future__ import annotations

from ser_core.corpora._names import Names
from ser_core.corpora._scan import Labels
from ser_core.corpora._source import elsewhere

CITATION = (
    "Zhou K, Sisman B, Liu R, Li H (2021). Seen and unseen emotional style transfer for voice conversion with a new "
    "emotional speech dataset. Proc. ICASSP 2021, 920-924. https://doi.org/10.1109/ICASSP39728.2021.9413391"
)
LICENCE = "research only"
SYNTHETIC = False
SOURCE = "https://hltsingapore.github.io/ESD/"

EMOTIONS = {"Angry": "angry", "Happy": "happy", "Neutral": "neutral", "Sad": "sad", "Surprise": "surprised"}
FEMALE = ["0001", "0002", "0003", "0007", "0009", "0015", "0016", "0017", "0018", "0019"]
SPEAKERS = tuple(f"{number:04d}" for number in range(1, 21))

# Ma et al. 2024, "EmoBox", arXiv 2406.07162: test speakers of each fold, from data/esd of its repository
FOLDS = {
    "emobox": (
        (
            "0005",
            "0011",
            "0016",
            "0018",
        ),
        (
            "0012",
            "0014",
            "0015",
            "0019",
        ),
        (
            "0003",
            "0004",
            "0006",
            "0009",
        ),
        (
            "0007",
            "0008",
            "0013",
            "0020",
        ),
        (
            "0001",
            "0002",
            "0010",
            "0017",
        ),
    )
}

EXAMPLES = {
    "Emotion Speech Dataset/0011/Angry/0011_000351.wav": Labels(
        clip_id="0011_000351", speaker="0011", emotion="angry", gender="male", language="en"
    ),
    "0001/Surprise/train/0001_001401.wav": Labels(
        clip_id="0001_001401", speaker="0001", emotion="surprised", gender="female", language="zh"
    ),
}

labels = Names(
    patterns=(r"(?P<emotion>[A-Z][a-z]+)/(?:train/|test/|evaluation/)?(?P<speaker>00[01]\d|0020)_\d{6}",),
    example="0011/Angry/0011_000351",
    emotions=EMOTIONS,
    genders={speaker: "female" if speaker in FEMALE else "male" for speaker in SPEAKERS},
    languages={speaker: "zh" if speaker <= "0010" else "en" for speaker in SPEAKERS},
)
obtain = elsewhere("esd", SOURCE)
