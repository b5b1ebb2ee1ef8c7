"""Threads that go on one at a time."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from search.driver.turns import Turns

PATIENCE_SECONDS = 60


def started(*bodies: Callable[[], object]) -> list[threading.Thread]:
    threads = [threading.Thread(target=body, daemon=True) for body in bodies]
    for thread in threads:
        thread.start()
    return threads


def ended(threads: list[threading.Thread]) -> bool:
    for thread in threads:
        thread.join(PATIENCE_SECONDS)
    return not any(thread.is_alive() for thread in threads)


def test_no_two_have_their_turn_at_once() -> None:
    turns, inside, most = Turns(), list[int](), list[int]()

    def body(number: int) -> None:
        with turns.turn(number):
            for _ in range(200):
                inside.append(number)
                most.append(len(inside))
                inside.remove(number)
                with turns.away():
                    pass

    assert ended(started(*(lambda number=number: body(number) for number in range(6))))  # type: ignore[misc]
    assert len(most) == 1200
    assert max(most) == 1


def test_who_has_come_further_goes_before_the_first_in_order() -> None:
    turns, order = Turns(), list[str]()
    left, back = threading.Event(), threading.Event()

    def far() -> None:
        with turns.turn(9):
            with turns.away():
                left.set()
                back.wait()
            order.append("far")

    def fresh(number: int) -> None:
        with turns.turn(number):
            order.append(f"fresh {number}")

    threads = started(far)
    assert left.wait(PATIENCE_SECONDS)
    with turns.turn(5):
        threads += started(lambda: fresh(2), lambda: fresh(1))
        back.set()
        while turns.waiting < 3:
            time.sleep(0.001)
    assert ended(threads)
    assert order == ["far", "fresh 1", "fresh 2"]


def test_those_that_come_last_do_so_when_no_other_waits() -> None:
    turns, order = Turns(), list[str]()

    def body(number: int, *, last: bool) -> None:
        with turns.turn(number, last=last):
            order.append(f"{number} last" if last else str(number))

    with turns.turn(5):
        threads = started(lambda: body(1, last=True), lambda: body(3, last=False), lambda: body(2, last=False))
        while turns.waiting < 3:
            time.sleep(0.001)
    assert ended(threads)
    assert order == ["2", "3", "1 last"]
