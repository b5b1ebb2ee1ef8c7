"""What a command line or a reader of run folders imports must load in a blink: not torch, Ray or Optuna."""

from __future__ import annotations

import subprocess
import sys

import pytest

HEAVY = {"torch", "ray", "optuna", "transformers", "timm", "plotly", "pandas", "sklearn"}


def loaded_by(module: str) -> set[str]:
    """Which of the heavy libraries a process has loaded that imports `module` alone."""
    code = f"import sys, {module}; print(*sys.modules.keys() & {HEAVY})"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=True)
    return set(done.stdout.split())


@pytest.mark.parametrize("module", ["ser_core.architectures", "ser_core.models"])
def test_names_of_architectures_need_no_heavy_library(module: str) -> None:
    assert loaded_by(module) == set()


@pytest.mark.parametrize("module", ["search.terminal.printing", "search.terminal.progress"])
def test_what_prints_and_shows_needs_neither_torch_nor_ray(module: str) -> None:
    assert not loaded_by(module) & {"torch", "ray"}
