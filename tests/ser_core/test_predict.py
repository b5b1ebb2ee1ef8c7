"""A model folder at work: files of any kind, folders, streams, and what cannot be read."""

import csv
import io
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from torchaudio.functional import resample
from typer.testing import CliRunner

import ser_core
from ser_core.architectures import default_config
from ser_core.artifact import Predictor, save_model
from ser_core.features.audio import read_audio
from ser_core.features.frames import end_to_end
from ser_core.features.store import FeatureStore
from ser_core.features.transforms import extractor
from ser_core.predict import (
    Form,
    Printer,
    app,
    audio_files,
    pcm_blocks,
    predict_stream,
    speech_probabilities,
)
from ser_core.splits import Fold
from ser_core.targets import Emotions
from ser_core.training.run import train
from ser_core.windows import is_silent

RATE_HZ = 16_000
CLASSES = ("happy", "sad")
CLIP_SECONDS = 0.6


def tone(kind: int, seconds: float = 0.6, rate_hz: int = RATE_HZ) -> np.ndarray:
    """A noisy tone, 300 Hz for class 0 and 900 Hz for class 1: (samples,) float32."""
    at = np.arange(int(seconds * rate_hz)) / rate_hz
    noise = np.random.default_rng(0).normal(size=len(at))
    return (0.3 * np.sin(2 * np.pi * (300, 900)[kind] * at) + 0.02 * noise).astype(np.float32)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small CNN that tells the two tones apart."""
    settings = {
        "optim.epochs": 8, "optim.batch_size": 4, "features.clip_seconds": CLIP_SECONDS, "features.hop_ms": 20.0,
        "features.deltas": 0, "model.width": 2, "model.pooling": "mean", "augment.freq_masks": 0,
        "augment.time_masks": 0,
    }  # fmt: skip
    config = default_config("shallow_cnn", settings)
    rng = np.random.default_rng(1)
    clips = [tone(n % 2) * rng.uniform(0.3, 1) for n in range(24)]
    parts = extractor(config.features)([clip.astype(np.float32) for clip in clips])
    store = FeatureStore(
        frames=np.concatenate(parts),
        bounds=end_to_end(np.concatenate([[0], np.cumsum([len(part) for part in parts])])),
        truth=np.arange(24) % 2,
        clip_ids=tuple(map(str, range(24))),
        target=Emotions(CLASSES),
        settings=config.features,
        fingerprint="toy",
    )
    run = train(config, Fold(fit=np.arange(20), evaluate=np.arange(20, 24)), store, device="cpu")
    list(run)
    path = tmp_path_factory.mktemp("model")
    save_model(path, run, about={"corpus": {"name": "toy", "synthetic": True}})
    return path


@pytest.fixture(scope="module")
def predictor(folder: Path) -> Predictor:
    return ser_core.load(folder)


def command(*arguments: object, stdin: bytes | None = None) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(
        [sys.executable, "-m", "ser_core.predict", *map(str, arguments)],
        input=stdin, capture_output=True, timeout=300, check=False,
    )  # fmt: skip


def test_files_of_any_rate_and_channels_a_folder_and_a_broken_one(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "more" / "deep").mkdir(parents=True)
    soundfile.write(tmp_path / "low.wav", tone(0), RATE_HZ)
    stereo = np.stack([tone(1, rate_hz=44_100)] * 2, axis=1)
    soundfile.write(tmp_path / "more" / "high.flac", stereo, 44_100)
    soundfile.write(tmp_path / "more" / "deep" / "low.ogg", tone(0, rate_hz=22_050), 22_050)
    (tmp_path / "more" / "notes.txt").write_text("no audio")
    (tmp_path / "broken.wav").write_bytes(b"RIFF")
    done = command(folder, tmp_path / "low.wav", tmp_path / "broken.wav", tmp_path / "more", "--json")
    assert done.returncode == 1
    assert b"broken.wav: not an audio file" in done.stderr
    assert b"synthetic corpus" in done.stderr
    rows = [json.loads(line) for line in done.stdout.splitlines()]
    names = [Path(row["path"]).relative_to(tmp_path).as_posix() for row in rows]
    assert names == ["low.wav", "more/deep/low.ogg", "more/high.flac"]
    predictor = ser_core.load(folder)
    for row in rows:
        expected = predictor.probabilities(read_audio(Path(row["path"]), RATE_HZ))
        assert list(row["probabilities"].values()) == pytest.approx(expected.tolist(), abs=2e-6)
        assert sum(row["probabilities"].values()) == pytest.approx(1, abs=1e-5)
        assert max(row["probabilities"], key=row["probabilities"].get) == row["emotion"]


def test_pcm_on_standard_input_gives_a_line_per_hop(folder: Path) -> None:
    sound = np.concatenate([np.zeros(RATE_HZ // 2), tone(0, 0.9), tone(1, 0.6)])
    pcm = (sound * 32_767).astype("<i2").tobytes() + b"\0"  # and half a sample
    done = command(folder, "--stream", "--hop", "0.5", "--csv", stdin=pcm)
    assert done.returncode == 0, done.stderr
    rows = list(csv.DictReader(io.StringIO(done.stdout.decode())))
    assert [row["seconds"] for row in rows] == ["0.5", "1.0", "1.5", "2.0"]
    assert (rows[0]["emotion"], rows[0]["p_sad"]) == ("", "")
    assert (rows[1]["emotion"], rows[3]["emotion"]) == ("happy", "sad")
    assert float(rows[3]["p_sad"]) + float(rows[3]["p_happy"]) == pytest.approx(1, abs=1e-5)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["{model}"], "give audio files or folders, or --stream"),
        (["{model}", "{empty}"], "no audio file in"),
        (["{model}", "x.wav", "--json", "--csv"], "--json and --csv exclude each other"),
        (["{empty}", "x.wav"], "is no model folder"),
        (["{model}", "x.wav"], "x.wav: no such file"),
        (["{model}", "--microphone"], "--stream"),
    ],
)
def test_what_cannot_be_done_is_said(arguments: list[str], message: str, folder: Path, tmp_path: Path) -> None:
    if "--microphone" in arguments and _has_microphone():
        pytest.skip("this machine has a microphone")
    done = CliRunner().invoke(app, [text.format(model=folder, empty=tmp_path) for text in arguments])
    assert done.exit_code == 2, done.output
    assert message in done.stderr


def _has_microphone() -> bool:
    try:
        import sounddevice
    except (ImportError, OSError):
        return False
    return any(device["max_input_channels"] for device in sounddevice.query_devices())


def test_short_speech_is_predicted_as_test_clips_are_and_long_speech_by_windows(predictor: Predictor) -> None:
    short = tone(0, 2 * CLIP_SECONDS)
    np.testing.assert_array_equal(speech_probabilities(predictor, short), predictor.probabilities(short))
    length = round(CLIP_SECONDS * RATE_HZ)
    long = np.concatenate([tone(0, 1.0), tone(1, 1.0), np.zeros(length, dtype=np.float32)])
    starts = [*range(0, len(long) - length, length // 2), len(long) - length]
    windows = [long[start : start + length] for start in starts]
    assert sum(is_silent(window) for window in windows) == 1  # the last one, which does not count
    expected = np.mean([predictor.probabilities(window) for window in windows[:-1]], axis=0)
    np.testing.assert_allclose(speech_probabilities(predictor, long), expected, atol=1e-6)


def test_a_stream_at_another_rate_is_resampled(predictor: Predictor) -> None:
    blocks, out = [tone(1, rate_hz=8_000)], io.StringIO()
    seconds = list(predict_stream(predictor, blocks, 8_000, Printer(Form.JSON, Emotions(CLASSES), "seconds", out)))
    assert len(seconds) == 1
    samples = resample(torch.from_numpy(blocks[0]), 8_000, RATE_HZ).numpy()
    expected = predictor.probabilities(samples)
    told = json.loads(out.getvalue())["probabilities"]["sad"]
    assert told == pytest.approx(expected[1], abs=1e-3)  # the empty upper band makes much of a filter's last digit
    assert abs(told - predictor.probabilities(blocks[0])[1]) > 0.05  # as they come, a tone of twice the pitch


def test_pcm_blocks_scale_to_one_and_end_with_what_is_left() -> None:
    data = np.array([0, 16_384, -32_768, 32_767, 1], dtype="<i2").tobytes()
    blocks = list(pcm_blocks(io.BytesIO(data), 2))
    assert [len(block) for block in blocks] == [2, 2, 1]
    np.testing.assert_allclose(np.concatenate(blocks), [0, 0.5, -1, 32_767 / 32_768, 1 / 32_768])


def test_a_named_file_may_have_any_suffix(tmp_path: Path) -> None:
    assert list(audio_files([tmp_path / "speech.bin"])) == [tmp_path / "speech.bin"]


def test_files_of_one_speaker_for_a_model_that_normalises_by_speaker(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("config.json", "model.safetensors"):
        (tmp_path / name).write_bytes((folder / name).read_bytes())
    document = json.loads((tmp_path / "config.json").read_text())
    document["settings"]["features.normalisation"] = "speaker"
    (tmp_path / "config.json").write_text(json.dumps(document))
    for index in range(3):
        soundfile.write(tmp_path / f"{index}.wav", tone(index % 2), RATE_HZ)
    (tmp_path / "bad.wav").write_bytes(b"RIFF")
    result = CliRunner().invoke(app, [str(tmp_path), str(tmp_path / "0.wav")])
    assert result.exit_code == 2
    assert "name several files of one speaker and say --one-speaker" in result.stderr
    result = CliRunner().invoke(app, [str(tmp_path), str(tmp_path), "--one-speaker", "--json"])
    assert result.exit_code == 1  # one file could not be read
    assert "bad.wav" in result.stderr
    rows = [json.loads(line) for line in result.stdout.splitlines()]
    predictor = ser_core.load(tmp_path)
    expected = predictor.speaker_probabilities([read_audio(tmp_path / f"{index}.wav", RATE_HZ) for index in range(3)])
    told = [[row["probabilities"][word] for word in CLASSES] for row in rows]
    np.testing.assert_allclose(told, expected, atol=1e-5)
    alone = CliRunner().invoke(app, [str(tmp_path), str(tmp_path / "0.wav"), "--one-speaker"])
    assert alone.exit_code == 2
    assert "needs two or more that can be read; got" in alone.stderr
    assert (
        "--one-speaker takes audio files" in CliRunner().invoke(app, [str(folder), "--stream", "--one-speaker"]).stderr
    )


@pytest.mark.parametrize("device", ["gpu", "cuda:99"])
def test_a_device_that_is_not_there_is_refused(folder: Path, device: str) -> None:
    result = CliRunner().invoke(app, [str(folder), str(folder), "--device", device])
    assert result.exit_code == 2
    assert f"--device must be cpu, cuda or cuda:N; this machine has {torch.cuda.device_count()} GPUs" in result.stderr
    assert f"got {device}" in result.stderr
