"""What is computed before the search, and what a search asks for as it goes."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

import search
from search.driver.feature_facts import encoder_facts_text, feature_facts
from search.run_folder.paths import RECORDS_FILE
from search.run_folder.records import TrialState
from search.run_folder.records_reader import read_records
from search.wording import bytes_text
from ser_core.architectures import default_config
from ser_core.config import FeatureConfig
from ser_core.corpora import load_corpus
from ser_core.features.cache_room import cached_bytes
from ser_core.features.derivation import base_settings
from ser_core.features.size import expected_bytes, known_bins, mean_seconds
from ser_core.features.store import feature_store
from ser_core.features.transforms import settings_key
from tests.search.driver.test_planning import plan_for


@pytest.mark.slow
def test_a_search_over_a_real_number_that_decides_the_features(tmp_path: Path, cache: Path) -> None:
    run = search.tune(
        model="mlp", data="demo", run_dir=tmp_path / "run", cache_dir=cache, quiet=True, trials=4, max_epochs=3,
        finalists=1, seeds=1, folds=1, concurrency=2, set_=["features.n_mels=16", "features.n_mfcc=8"],
        space=["features.window_ms=20:60"],
    )  # fmt: skip
    trials = read_records(tmp_path / "run" / RECORDS_FILE).trials.values()
    assert {trial.state for trial in trials} <= {TrialState.COMPLETE, TrialState.PRUNED}, [t.reason for t in trials]
    assert len({trial.params["features.window_ms"] for trial in trials}) == 4
    assert all(trial.setup_seconds > 0 for trial in trials)
    assert run.result is not None
    assert run.result["test_reads"] == 1
    model = tmp_path / "run" / run.result["winner"]["models"][0] / "config.json"
    window_ms = run.result["winner"]["params"]["features.window_ms"]
    assert json.loads(model.read_text())["settings"]["features.window_ms"] == window_ms


def test_a_dry_run_says_what_features_will_take(tmp_path: Path, cache: Path) -> None:
    manifest = load_corpus("demo", skip_bad=False, classes=None, cache_dir=cache)
    plan = replace(plan_for(manifest), first=(), space={})
    settings = default_config("mlp", plan.settings).features
    made_of = base_settings(settings)
    kinds = {settings_key(each): each for each in (settings, made_of)}
    needed = sum(feature_store(manifest, each, cache_dir=tmp_path).frames.nbytes for each in kinds.values())
    said = feature_facts(plan, manifest, tmp_path, limit_bytes=3 * 2**30)
    assert said.startswith(f"1 kind computed before the search, about {bytes_text(needed)}; ")
    assert said.endswith(f"{bytes_text(cached_bytes(tmp_path))} of at most 3.0 GiB in {tmp_path / 'features'}")


def test_a_dry_run_says_when_samples_are_left_in_their_files(tmp_path: Path, cache: Path) -> None:
    manifest = load_corpus("demo", skip_bad=False, classes=None, cache_dir=cache)
    plan = replace(plan_for(manifest, "finetune"), first=(), space={}, fixed={"model.pretrained": "none"})
    seconds = mean_seconds(manifest.clips)
    assert seconds is not None
    size = bytes_text(2 * 16_000 * seconds * len(manifest.clips))
    said = feature_facts(plan, manifest, tmp_path, limit_bytes=3 * 2**30, sample_limit_bytes=10**6)
    assert (
        said == f"a store of samples would take about {size}, more than 1.0 MiB: trials read the audio files each time"
    )
    assert feature_facts(plan, manifest, tmp_path, limit_bytes=3 * 2**30).startswith("1 kind computed before")


def test_a_dry_run_says_which_encoder_a_run_works_with(tiny_encoder: Callable[..., Path], cache: Path) -> None:
    manifest = load_corpus("demo", skip_bad=False, classes=None, cache_dir=cache)
    plain = replace(plan_for(manifest), first=(), space={})
    assert encoder_facts_text(plain) == ""
    said = {}
    for name in (str(tiny_encoder("wavlm")), "none"):
        plan = replace(plan_for(manifest, "probe"), first=(), space={}, fixed={"model.pretrained": name})
        said[name == "none"] = encoder_facts_text(plan)
    assert said[False] == "WavLM, 2 layers of 16 units, a frame every 20 ms, 16,000 Hz"
    assert said[True].startswith("wav2vec 2.0 and XLS-R with random weights, 12 layers of 768 units, ")


@pytest.mark.parametrize("kind", ["log_mel", "mfcc", "kaldi_fbank", "functionals", "mfcc_stats"])
def test_the_size_of_features_is_known_beforehand(kind: str, tmp_path: Path, cache: Path) -> None:
    manifest = load_corpus("demo", skip_bad=False, classes=None, cache_dir=cache)
    manifest = replace(manifest, clips=manifest.clips[:12])
    settings = FeatureConfig(kind=kind, n_mels=16, n_mfcc=8, deltas=1 if kind in ("log_mel", "mfcc") else 0)
    store = feature_store(manifest, settings, cache_dir=tmp_path)
    found = expected_bytes(settings, len(manifest.clips), mean_seconds(manifest.clips))
    assert found == pytest.approx(store.frames.nbytes, rel=0.03)
    assert known_bins(settings) == store.bins
