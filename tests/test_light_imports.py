"""What a command line or a reader of run folders imports must load in a blink: not torch, Ray or Optuna."""

from __future__ import annotations

import subprocess
import sys
from importlib import import_module
from pkgutil import walk_packages

import pytest

HEAVY = {"torch", "ray", "optuna", "transformers", "timm", "plotly", "pandas", "sklearn"}


def loaded_by(module: str) -> set[str]:
    """Which of the heavy libraries a process has loaded that imports `module` alone."""
    code = f"import sys, {module}; print(*sys.modules.keys() & {HEAVY})"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=True)
    return set(done.stdout.split())


@pytest.mark.parametrize("module", ["ser_core.architectures", "ser_core.models", "search.serve"])
def test_names_of_architectures_and_options_of_a_service_need_no_heavy_library(module: str) -> None:
    assert loaded_by(module) == set()


@pytest.mark.parametrize("module", ["search.run_folder.plan", "search.run_folder.run_view", "search.run_folder.paths"])
def test_a_run_is_read_without_torch_ray_and_optuna(module: str) -> None:
    assert not loaded_by(module) & {"torch", "ray", "optuna", "pandas", "plotly"}


@pytest.mark.parametrize("package", ["search.pages", "search.terminal", "search.comparison", "search.run_folder"])
def test_no_module_that_reads_runs_loads_torch_or_ray(package: str) -> None:
    modules = [info.name for info in walk_packages(import_module(package).__path__, f"{package}.")]
    assert not loaded_by(", ".join(modules)) & {"torch", "ray"}
