"""How many jobs fit, and which place the next one gets."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from search.packing import KIND_PREFIX, Demand, Node, Request

SHARES = st.sampled_from([0.0, 0.1, 0.2, 0.25, 0.3, 1 / 3, 0.5, 0.6, 1.0, 2.0])
CPUS = st.sampled_from([0.5, 1.0, 2.0, 3.0])


@st.composite
def nodes(draw: st.DrawFn) -> Node:
    node: dict[str, float] = {"CPU": float(draw(st.integers(0, 16))), "GPU": float(draw(st.integers(0, 8)))}
    if node["GPU"]:
        node[KIND_PREFIX + draw(st.sampled_from(["A100", "T4"]))] = 1.0
    return node


@given(nodes(), CPUS, SHARES)
def test_what_fits_fits_and_one_more_does_not(node: Node, cpus: float, gpus: float) -> None:
    """Checked by placing the jobs one by one, each on the first GPU that has room for it."""
    request, free_cpus = Request(cpus=cpus, gpus=gpus), node["CPU"]
    free_gpus = [1.0] * int(node["GPU"])
    placed = 0
    while free_cpus >= cpus - 1e-9:
        if gpus >= 1:
            whole = [index for index, free in enumerate(free_gpus) if free == 1.0][: int(gpus)]
            if len(whole) < gpus:
                break
            for index in whole:
                free_gpus[index] = 0.0
        elif gpus:
            place = next((index for index, free in enumerate(free_gpus) if free >= gpus - 1e-9), None)
            if place is None:
                break
            free_gpus[place] -= gpus
        free_cpus -= cpus
        placed += 1
    assert request.fits(node) == placed


def test_a_job_of_a_kind_fits_on_that_kind_alone() -> None:
    node = {"CPU": 8.0, "GPU": 2.0, KIND_PREFIX + "T4": 1.0}
    assert Request(cpus=1, gpus=0.5, kind="T4").fits(node) == 4
    assert Request(cpus=1, gpus=0.5, kind="A100").fits(node) == 0
    assert Request(cpus=1, gpus=0.5, kind="T4").bundle() == {"CPU": 1, "GPU": 0.5, KIND_PREFIX + "T4": 0.001}
    assert Request(cpus=1, gpus=0).bundle() == {"CPU": 1, "GPU": 0}


@pytest.mark.parametrize(("gpus", "larger"), [(0.0, None), (0.2, 0.4), (0.6, 1.0), (1.0, None), (2.0, None)])
def test_a_larger_share_ends_at_a_whole_gpu(gpus: float, larger: float | None) -> None:
    found = Request(cpus=2, gpus=gpus, kind="T4").larger()
    assert found == (None if larger is None else Request(cpus=2, gpus=larger, kind="T4"))


@given(st.lists(nodes(), max_size=5), st.integers(0, 6), st.integers(0, 2))
def test_places_are_given_until_all_are_taken(cluster: list[Node], concurrency: int, surplus: int) -> None:
    requests = [Request(cpus=1, gpus=0.5, kind="A100"), Request(cpus=1, gpus=0.25, kind="T4")]
    demand = Demand(requests=requests, concurrency=concurrency, surplus=surplus)
    at_work = Counter[Request]()
    while (place := demand.next(cluster, at_work)) is not None:
        at_work[place] += 1
        assert at_work.total() <= 1000
    fits = {request: sum(request.fits(node) for node in cluster) for request in requests}
    assert demand.fits(cluster) == sum(fits.values())
    assert at_work.total() == (concurrency or max(1, sum(fits.values()) + surplus))
    if at_work.total() == sum(fits.values()):  # nobody waits while there is room elsewhere
        assert dict(at_work) == {request: count for request, count in fits.items() if count}


def test_jobs_that_lost_their_node_are_not_replaced() -> None:
    demand = Demand(requests=[Request(cpus=1, gpus=0)])
    at_work = Counter({demand.requests[0]: 4})
    assert demand.next([{"CPU": 2.0}, {"CPU": 2.0}], at_work) is None
    assert demand.next([{"CPU": 2.0}], at_work) is None
    assert demand.next([{"CPU": 2.0}, {"CPU": 3.0}], at_work) == demand.requests[0]


def test_a_job_with_a_larger_share_takes_a_place_of_its_kind() -> None:
    requests = [Request(cpus=1, gpus=0.5, kind="A100"), Request(cpus=1, gpus=0.5, kind="T4")]
    node_of = {kind: {"CPU": 8.0, "GPU": 1.0, KIND_PREFIX + kind: 1.0} for kind in ("A100", "T4")}
    at_work = Counter([Request(cpus=1, gpus=1.0, kind="A100"), requests[0]])
    assert Demand(requests=requests).next(list(node_of.values()), at_work) == requests[1]
