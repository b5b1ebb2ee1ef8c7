"""The features of a run's corpus: what the driver computes before the search, and what it needs at the end."""

from __future__ import annotations

from collections.abc import Mapping

from search.driver.feature_facts import cache_facts
from search.driver.heartbeat import Heartbeat
from search.driver.space import early_features
from search.run_folder.plan import SearchPlan
from search.terminal.progress import Progress, Stage
from search.workers.pool import feature_compute
from ser_core.config import FeatureConfig
from ser_core.features.store import CorpusFeatures, FeatureStore


class Features:
    """The features of a corpus, computed here.

    Attributes:
        corpus: for workers, which make what is not among `early`.
        early: `settings_key` -> stores that the driver shares with all workers before the search.
    """

    def __init__(self, plan: SearchPlan, corpus: CorpusFeatures, progress: Progress, heartbeat: Heartbeat) -> None:
        """Compute what the plan asks for first.

        Raises:
            Interrupted: somebody asked to stop; what is computed of a kind so far is lost.
            FeatureStoreError, AudioError, PretrainedError: see `ser_core.features.store.CorpusFeatures.store`.
        """
        self._plan, self._progress, self._heartbeat = plan, progress, heartbeat
        progress.phase(Stage.FEATURES)
        self.corpus = corpus
        self.early: Mapping[str, FeatureStore] = {
            key: self.of(settings) for key, settings in early_features(plan.model, plan.knobs, plan.settings).items()
        }
        progress.message(f"Features: {cache_facts(corpus.cache_dir, corpus.limit_bytes)}")

    def of(self, settings: FeatureConfig) -> FeatureStore:
        """Those of the whole corpus: from the cache, which workers fill too, or computed now.

        Raises:
            Interrupted: see above.
        """
        clips, progress = len(self.corpus.manifest.clips), self._progress
        compute = feature_compute(clips, settings, self._plan.limits, progress.message)
        store = self.corpus.store(settings, compute=compute, progress=self._done)
        self._heartbeat.check()  # also where they came from the cache
        return store

    def _done(self, ready: int, clips: int) -> None:
        self._progress.features(ready, clips)
        self._heartbeat.check()
