"""What one driver takes of a cluster beside others."""

from __future__ import annotations

from collections import Counter

import pytest

from search.workers._part import Part, Taken
from search.workers.placement import Demand, Request

CORE = Request(cpus=1, gpus=0)
NODES = [{"CPU": 8.0}, {"CPU": 2.0}]


def held(number: int) -> Counter[Request]:
    return Counter({CORE: number})


def most(taken: Taken, demand: Demand, *, others: int = 0) -> int:
    """How many places are taken one after another."""
    number = 0
    while number < 100 and taken.allows(CORE, demand, NODES, held(number), held(others)):
        number += 1
    return number


def test_a_driver_alone_takes_all_that_there_is() -> None:
    assert most(Taken(Part, dict), Demand(requests=[CORE])) == 100  # where that ends is for `Demand.next` to say


@pytest.mark.parametrize(("of", "expected"), [(2, 5), (3, 4), (4, 3), (10, 1), (20, 1)])
def test_of_several_each_has_an_equal_part_rounded_up(of: int, expected: int) -> None:
    """Ray keeps the few that are too many waiting, and no place stays empty for the rounding."""
    taken = Taken(lambda: Part(0, of), dict)
    taken.refresh()
    assert most(taken, Demand(requests=[CORE])) == expected


def test_places_that_the_others_leave_are_taken_until_none_is_free() -> None:
    free, demand = {"CPU": 3.0}, Demand(requests=[CORE])
    taken = Taken(lambda: Part(0, 2), lambda: free)
    taken.refresh()
    assert [taken.allows(CORE, demand, NODES, held(number), held(0)) for number in (5, 5, 6, 7, 8)] == [True] * 4 + [
        False
    ]
    free["CPU"] = 0.0
    taken.refresh()
    assert not taken.allows(CORE, demand, NODES, held(7), held(0))  # as jobs end, it gives their places back
    assert not taken.allows(CORE, demand, NODES, held(5), held(0))
    assert taken.allows(CORE, demand, NODES, held(4), held(0))


def test_jobs_of_all_runs_of_a_driver_count() -> None:
    taken = Taken(lambda: Part(0, 2), dict)
    taken.refresh()
    assert most(taken, Demand(requests=[CORE]), others=3) == 2


@pytest.mark.parametrize("of", [1, 2, 3, 5, 7])
def test_parts_of_the_concurrency_add_up_to_it(of: int) -> None:
    demand = Demand(requests=[CORE], concurrency=5)
    parts = [Taken(lambda number=number: Part(number, of), dict) for number in range(of)]
    assert of == 1 or sum(most(taken, demand) for taken in parts) == 5


def test_the_part_grows_when_another_driver_has_ended() -> None:
    part = Part(1, 2)
    taken = Taken(lambda: part, dict)
    taken.refresh()
    assert most(taken, Demand(requests=[CORE])) == 5
    part = Part(0, 1)
    assert most(taken, Demand(requests=[CORE])) == 100


def test_a_cluster_that_has_not_come_yet_is_asked_for_and_one_that_grows_too() -> None:
    growing = Demand(requests=[CORE], concurrency=0, surplus=1)
    taken = Taken(lambda: Part(0, 2), dict)
    taken.refresh()
    assert taken.allows(CORE, growing, [], held(0), held(0))
    assert most(taken, growing) == 6
