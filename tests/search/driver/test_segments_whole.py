"""A manifest of segments, searched from end to end: the test's predictions are those of samples cut out by hand."""

from __future__ import annotations

import csv
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile

from ser_core.corpora.demo import SAMPLE_RATE_HZ, VOICES, synthesise
from ser_core.ensemble import load_predictor
from tests.search.test_run import QUICK, REPOSITORY

EMOTIONS, TAKES = ("happy", "sad"), 2


@pytest.mark.slow  # a whole search
def test_predictions_of_segments_are_those_of_their_samples(tmp_path: Path, cache: Path) -> None:
    """Each voice speaks in one long file, at offsets that the manifest names."""
    lines, cut = ["path,speaker,emotion,gender,offset,duration"], {}
    for voice in VOICES:
        parts, start = [], 0
        for emotion in EMOTIONS:
            for take in range(1, TAKES + 1):
                samples = synthesise(voice, emotion, take)
                begin, length = start / SAMPLE_RATE_HZ, len(samples) / SAMPLE_RATE_HZ
                lines.append(f"{voice}.wav,{voice},{emotion},{voice[:-1]},{begin!r},{length!r}")
                cut[voice, round(begin, 6)] = slice(start, start + len(samples))
                parts.append(samples)
                start += len(samples)
        soundfile.write(tmp_path / f"{voice}.wav", np.concatenate(parts), SAMPLE_RATE_HZ, subtype="PCM_16")
    (tmp_path / "list.csv").write_text("\n".join(lines) + "\n")
    folder = tmp_path / "run"
    arguments = ["--model", "mlp", "--data", tmp_path / "list.csv", "--cache-dir", cache, "--run-dir", folder, *QUICK]
    command = [sys.executable, REPOSITORY / "search" / "run.py", *arguments]
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True, timeout=600, check=False)
    assert done.returncode == 0, done.stdout + done.stderr

    predictor = load_predictor(folder / "final")
    with (folder / "final" / "test_predictions.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == len({row["speaker"] for row in rows}) * len(EMOTIONS) * TAKES
    for row in rows:
        name, _, times = row["clip_id"].partition("#t=")
        whole, _ = soundfile.read(tmp_path / name, dtype="float32")
        samples = whole[cut[row["speaker"], round(float(times.split(",")[0]), 6)]]
        expected = predictor.probabilities(samples)
        told = [float(row[f"p_{word}"]) for word in predictor.classes]
        np.testing.assert_allclose(told, expected, atol=2e-3)
