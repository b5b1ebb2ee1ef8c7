"""RAVDESS, the Ryerson Audio-Visual Database of Emotional Speech and Song: its speech part.

1,440 clips of 24 actors (12 female, 12 male), two sentences, 8 emotions, two intensities, 48 kHz WAV.

A file name is seven numbers, `modality-channel-emotion-intensity-statement-repetition-actor`. Only modality 03 (audio
only) and channel 01 (speech) are used: song (channel 02) is another task, and 01 and 02 are the sound of the video
versions of the same performances, so that using them too would put copies of test clips into training.
"""

from __future__ import annotations

import re
from pathlib import Path, PurePosixPath

from ser_core.clips import CorpusError
from ser_core.corpora._archive import unpacked
from ser_core.corpora._download import DownloadError, download
from ser_core.corpora._progress import Progress
from ser_core.corpora._scan import BadName, Labels

CITATION = (
    "Livingstone SR, Russo FA (2018). The Ryerson Audio-Visual Database of Emotional Speech and Song (RAVDESS): "
    "A dynamic, multimodal set of facial and vocal expressions in North American English. PLoS ONE 13(5): e0196391. "
    "https://doi.org/10.1371/journal.pone.0196391"
)
LICENCE = "CC BY-NC-SA 4.0"
SYNTHETIC = False
SOURCE = "https://zenodo.org/records/1188976"

ARCHIVE_URL = "https://zenodo.org/records/1188976/files/Audio_Speech_Actors_01-24.zip?download=1"
ARCHIVE_MD5 = "bc696df654c87fed845eb13823edef8a"

EMOTIONS = {
    "01": "neutral",
    "02": "calm",
    "03": "happy",
    "04": "sad",
    "05": "angry",
    "06": "fearful",
    "07": "disgust",
    "08": "surprised",
}
SPEAKERS = tuple(f"{actor:02d}" for actor in range(1, 25))
"""Speaker names are the actor numbers as file names write them."""

FOLDS = {
    # Ma et al. 2024, "EmoBox", arXiv 2406.07162: test speakers of each fold, from data/ravdess of its repository
    "emobox": (
        ("01", "11", "20", "21"),
        ("04", "10", "12", "14"),
        ("08", "09", "19", "23"),
        ("03", "05", "07", "24"),
        ("02", "15", "16", "18"),
        ("06", "13", "17", "22"),
    ),
    # Luna-Jiménez et al. 2021, Sensors 21(22) 7665, subject-wise 5-fold
    "luna": (
        ("02", "05", "14", "15", "16"),
        ("03", "06", "07", "13", "18"),
        ("10", "11", "12", "19", "20"),
        ("08", "17", "21", "23", "24"),
        ("01", "04", "09", "22"),
    ),
}

EXAMPLES = {
    "Actor_01/03-01-05-02-01-01-01.wav": Labels(
        clip_id="03-01-05-02-01-01-01", speaker="01", emotion="angry", gender="male", language="en"
    ),
    "audio_speech_actors_01-24/Actor_20/03-01-08-01-02-02-20.flac": Labels(
        clip_id="03-01-08-01-02-02-20", speaker="20", emotion="surprised", gender="female", language="en"
    ),
    "03-01-01-01-01-01-24.wav": Labels(
        clip_id="03-01-01-01-01-01-24", speaker="24", emotion="neutral", gender="female", language="en"
    ),
}

_NAME = re.compile(r"\d\d(-\d\d){6}")


def labels(file: PurePosixPath) -> Labels | None:
    """What the name of a file says; None for song and for the sound of the videos.

    Raises:
        BadName: not seven numbers, an emotion other than 01 to 08, or an actor other than 01 to 24.
    """
    if not _NAME.fullmatch(file.stem):
        raise BadName("not a RAVDESS name: expected seven two-digit numbers such as 03-01-05-02-01-01-12")
    modality, channel, emotion, _, _, _, actor = file.stem.split("-")
    if actor not in SPEAKERS:
        raise BadName(f"unknown actor {actor}: RAVDESS has 01 to 24")
    if emotion not in EMOTIONS:
        raise BadName(f"unknown emotion code {emotion}: RAVDESS has 01 to 08")
    if (modality, channel) != ("03", "01"):
        return None
    gender = "male" if int(actor) % 2 else "female"
    return Labels(clip_id=file.stem, speaker=actor, emotion=EMOTIONS[emotion], gender=gender, language="en")


def obtain(cache_dir: Path, progress: Progress) -> Path:
    """Download the speech archive from Zenodo and unpack it, unless that was done before.

    Returns:
        The unpacked folder below `cache_dir`.

    Raises:
        CorpusError: no network, a broken download, or a full disk.
    """
    folder = cache_dir / "ravdess" / ARCHIVE_MD5[:8]
    if folder.is_dir():
        return folder
    try:
        archive = download(ARCHIVE_URL, cache_dir / "ravdess" / "speech.zip", md5=ARCHIVE_MD5, progress=progress)
    except DownloadError as error:
        raise CorpusError(
            f"--data ravdess downloads 208 MB from Zenodo record 1188976, which failed: {error}. Three other ways: "
            f"--data FOLDER with the unpacked corpus, --data ARCHIVE.zip fetched by other means, or --data MANIFEST "
            f"(.csv, .tsv, .jsonl). To try the program without any corpus: --data demo (synthetic)"
        ) from error
    unpacked(archive, folder, progress=progress)
    archive.unlink()  # 208 MB that nothing reads again
    return folder
