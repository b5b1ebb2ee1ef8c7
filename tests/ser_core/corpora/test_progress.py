"""What the terminal shows while a corpus is fetched and checked."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
from rich.console import Console

from ser_core.corpora import load_corpus, progress_bars


@pytest.mark.parametrize("terminal", [True, False])
def test_bars_are_for_terminals(tmp_path: Path, write_audio, terminal: bool) -> None:
    write_audio(tmp_path / "corpus" / "03-01-03-01-01-01-01.wav")
    output = io.StringIO()
    with progress_bars(Console(file=output, force_terminal=terminal, width=100)) as progress:
        load_corpus(
            str(tmp_path / "corpus"), skip_bad=False, classes=None, cache_dir=tmp_path / "cache", progress=progress
        )
    assert ("Checking audio" in output.getvalue()) is terminal
    assert ("100 %" in output.getvalue()) is terminal


def test_an_unknown_total_is_drawn() -> None:
    output = io.StringIO()
    with progress_bars(Console(file=output, force_terminal=True, width=100)) as progress:
        progress("Downloading", 10, 0)
    assert "Downloading" in output.getvalue()
