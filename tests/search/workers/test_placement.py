"""How many jobs fit, and which place the next one gets."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st

from search.workers.gpu_shares import GpuMemory, largest_configuration, share_requests
from search.workers.placement import HEADROOM, KIND_PREFIX, Demand, Node, Request, gpu_kinds, jobs_per_gpu
from ser_core.config import ConfigError
from spaces.knobs import Choice, Float, Int, Knob, Space, Value, When

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


# -- shares of a GPU ---------------------------------------------------------------------------------------------------

GIB = 2**30
NEEDS = st.floats(0.01, 200).map(lambda gib: gib * GIB)


@given(st.sampled_from([8, 16, 24, 40, 80, 141]), NEEDS, NEEDS, st.integers(1, 64))
def test_jobs_that_share_a_gpu_find_room(total_gib: int, one: float, other: float, most: int) -> None:
    typical, largest = sorted((one, other))
    total = total_gib * GIB
    count = jobs_per_gpu(total, typical, largest, most=most)
    room = (1 - HEADROOM) * total * (1 + 1e-6)
    assert 1 <= count <= most
    assert count == 1 or count * typical <= room
    if count * largest > room and count > 1:  # then safety for all would cost more than half the places
        assert 2 * min(most, int(room / largest)) < count
    if count < most:  # no place is given away
        assert (count + 1) * largest > room


def test_a_gpu_that_is_too_small_is_given_whole() -> None:
    assert jobs_per_gpu(8 * GIB, 7.9 * GIB, math.inf, most=4) == 1
    assert jobs_per_gpu(8 * GIB, math.inf, math.inf, most=4) == 1
    with pytest.raises(ValueError, match="a typical job must need memory"):
        jobs_per_gpu(8 * GIB, 3, 2, most=4)


@given(st.integers(1, 64))
def test_shares_fit_as_often_as_was_reckoned(count: int) -> None:
    node = {"CPU": 64.0, "GPU": 1.0, KIND_PREFIX + "T4": 1.0}
    memory = GpuMemory(total=100.0, typical=90.0 / count - 0.01, largest=90.0 / count - 0.01)
    [request] = share_requests(1, {"T4": memory}, [node], print)
    assert request.fits(node) == count


def test_every_kind_of_gpu_gets_its_own_share_and_no_more_trials_than_cores() -> None:
    nodes = [
        {"CPU": 32.0, "GPU": 4.0, KIND_PREFIX + "A100": 1.0},
        {"CPU": 4.0, "GPU": 1.0, KIND_PREFIX + "T4": 1.0},
        {"CPU": 4.0},
    ]
    assert gpu_kinds(nodes) == {"A100", "T4"}
    assert gpu_kinds([{"CPU": 4.0, "GPU": 1.0}]) == {""}
    assert gpu_kinds([{"CPU": 4.0}]) == set()
    measured = {
        "A100": GpuMemory(total=80.0 * GIB, typical=4.0 * GIB, largest=30.0 * GIB),
        "T4": GpuMemory(total=16.0 * GIB, typical=4.0 * GIB, largest=5.0 * GIB),
    }
    log: list[str] = []
    requests = share_requests(2, measured, nodes, log.append)
    # 18 typical ones would fit on an A100, 2 of the largest; 8 cores beside each GPU feed 4: half of them is safe
    assert requests == [Request(cpus=2, gpus=0.5, kind="A100"), Request(cpus=2, gpus=0.5, kind="T4")]
    assert log[0] == (
        "GPU A100: 80 GiB; a typical configuration needs 4.0 GiB, the largest 30.0 GiB; 2 at once on each"
    )


def needs_of(weights: Mapping[str, Mapping[Value, float]]) -> Mapping[str, float]:
    return {name: max(of.values()) for name, of in weights.items()}


@given(st.data())
def test_the_largest_configuration_is_found_where_knobs_multiply(data: st.DataObject) -> None:
    weight = st.floats(0.1, 10)
    weights: dict[str, dict[Value, float]] = {
        name: {value: data.draw(weight) for value in (8, 16, 32)} for name in ("batch", "width", "stride")
    }
    knobs: dict[str, Knob] = {name: Choice(values=tuple(of)) for name, of in weights.items()}
    space = Space(knobs={**knobs, "rate": Float(low=0.1, high=0.2)})
    typical = {name: data.draw(st.sampled_from(sorted(of))) for name, of in weights.items()}

    def peak(params: Mapping[str, Value]) -> float:
        return math.prod(of[params[name]] for name, of in weights.items())

    found, most = largest_configuration(space, typical, peak(typical), peak)
    assert most == peak(found) == pytest.approx(math.prod(needs_of(weights).values()))


def test_what_cannot_be_is_no_largest_configuration() -> None:
    space = Space(
        knobs={
            "kind": Choice(values=("plain", "deep")),
            "depth": Int(low=1, high=9, when=When(name="kind", values=("deep",))),
            "width": Int(low=1, high=4),
        }
    )

    def peak(params: Mapping[str, Value]) -> float:
        if params.get("width") == 4:
            raise ConfigError("too wide")
        return 10.0 * (params["kind"] == "deep") + float(params.get("depth", 0)) + float(params.get("width", 2))

    assert largest_configuration(space, {"kind": "plain"}, 2.0, peak) == ({"kind": "deep", "depth": 9}, 21.0)
