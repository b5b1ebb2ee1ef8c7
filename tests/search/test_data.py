"""`ser data`: what a corpus holds and what is wrong with it, and its clips as a manifest that reads the same."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import soundfile
from typer.testing import CliRunner, Result

from search.data import app
from ser_core.corpora import load_corpus

RATE_HZ = 16_000


def invoke(*arguments: object) -> Result:
    return CliRunner(env={"COLUMNS": "200"}).invoke(app, list(map(str, arguments)))


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    """A manifest of two speakers' files and segments, with a recording twice, an overlap and a broken file."""
    noise = np.random.default_rng(0).normal(0, 0.1, 2 * RATE_HZ)
    soundfile.write(tmp_path / "long.wav", noise, RATE_HZ)
    soundfile.write(tmp_path / "a.wav", noise[:RATE_HZ], 8_000)
    soundfile.write(tmp_path / "b.wav", noise[:RATE_HZ], 8_000)
    (tmp_path / "broken.wav").write_bytes(b"")
    lines = ["path,speaker,emotion,gender,start,end,language", "a.wav,ann,happy,f,,,de", "b.wav,ann,sad,f,,,de"]
    lines += ["long.wav,bob,happy,,0,1,en", "long.wav,bob,sad,,0.5,1.5,en", "broken.wav,bob,sad,,,,en"]
    (tmp_path / "list.csv").write_text("\n".join(lines) + "\n")
    return tmp_path / "list.csv"


def test_check_says_what_a_corpus_holds_and_what_is_wrong(corpus: Path, tmp_path: Path) -> None:
    done = invoke("check", corpus, "--page", tmp_path / "page.html", "--cache-dir", tmp_path / "cache")
    assert done.exit_code == 1
    text = " ".join(done.output.split())
    for expected in (
        "clips 4",
        "speakers 2 (female 1, unknown 1)",
        "lengths 1.00 to 2.00 s",
        "classes happy 2, sad 2",
        "languages de 2, en 2",
        "sample rates 8,000 Hz: 2, 16,000 Hz: 1",
        "- 1 files cannot be used",
        "- 2 speaker(s): no split can keep speakers apart",
        "- the same recording: a.wav = b.wav",
        "- 1 clips overlap the clip before them in their file",
        "- the gender of 1 of 2 speakers is unknown",
        "- sample rates differ: 8,000 Hz, 16,000 Hz; all are resampled",
        "broken.wav: empty file",
    ):
        assert expected in text, expected
    page = (tmp_path / "page.html").read_text(encoding="utf-8")
    for expected in ("What it holds", "Clips of each class", "How long the clips are", "One clip of each class"):
        assert expected in page
    assert "list: 4 clips of 2 speakers" in page


def test_check_of_a_whole_corpus_ends_well_and_of_none_does_not(tmp_path: Path, cache: Path) -> None:
    page = tmp_path / "page.html"
    done = invoke("check", "demo", "--page", page, "--cache-dir", cache)
    assert done.exit_code == 0, done.output
    assert "the audio is synthetic" in page.read_text(encoding="utf-8")
    assert invoke("check", tmp_path / "nothing", "--page", page).exit_code == 2


@pytest.mark.parametrize("suffix", ["csv", "tsv", "jsonl"])
def test_a_converted_corpus_reads_as_the_corpus_itself(corpus: Path, tmp_path: Path, suffix: str) -> None:
    out = tmp_path / f"out.{suffix}"
    done = invoke("convert", corpus, out, "--skip-bad", "--cache-dir", tmp_path / "cache")
    assert done.exit_code == 0, done.output
    before, after = (
        load_corpus(str(path), skip_bad=True, classes=None, cache_dir=tmp_path / "cache") for path in (corpus, out)
    )
    assert after.clips == before.clips
    assert after.classes == before.classes
    assert after.column("language").tolist() == before.column("language").tolist()


def test_files_that_cannot_be_used_and_other_suffixes_are_refused(corpus: Path, tmp_path: Path) -> None:
    done = invoke("convert", corpus, tmp_path / "out.csv", "--cache-dir", tmp_path / "cache")
    assert done.exit_code == 2
    assert "1 of 5 files cannot be used" in done.output
    done = invoke("convert", corpus, tmp_path / "out.txt", "--skip-bad", "--cache-dir", tmp_path / "cache")
    assert done.exit_code == 2
    assert "a manifest ends in .csv, .tsv or .jsonl; got out.txt" in done.output
