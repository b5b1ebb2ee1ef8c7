"""benchmarks/service.py measures what it says, with a few clients."""

from __future__ import annotations

import service

from tests.search.service.running import FINISHED


def test_both_contestants_are_measured_in_the_same_run() -> None:
    table = service.measured(FINISHED, ["torch"], clients=3, requests=2)
    names, rates, medians, late, batches = (list(column.cells) for column in table.columns)
    assert names == ["torch, batching", "torch, no batching"]
    assert all(float(value) > 0 for value in (*rates, *medians))
    assert all(float(one) <= float(other) for one, other in zip(medians, late, strict=True))
    assert float(batches[1]) == 1.0
