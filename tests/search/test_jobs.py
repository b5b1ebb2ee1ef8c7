"""Several sources one after another, the later of which may be begun ahead."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import pytest

from search.jobs import Chain, Chunk, Job, Link, Outcome, Wait


@dataclass
class Source:
    """Hands out the jobs that it was given, and notes what it hears."""

    names: list[str]
    heard: list[str] = field(default_factory=list)

    def next_job(self) -> Job | Wait | None:
        return Job(name=self.names.pop(0), params={}, folds="search", last_epoch=1) if self.names else None

    def report(self, chunk: Chunk) -> bool:
        self.heard.append(chunk.job)
        return chunk.outcome is Outcome.GOING

    def lost(self, job: str, reason: str) -> None:
        self.heard.append(f"{job} lost: {reason}")

    def tick(self) -> bool:
        return False


def done(name: str) -> Chunk:
    return Chunk(job=name, reports=[], outcome=Outcome.DONE, worker="h:1")


def name_of(found: Job | Wait | None) -> str:
    return found.name if isinstance(found, Job) else type(found).__name__


def ahead_of(chain: Chain) -> str:
    """The name of the job that a worker without one begins with, "NoneType" for none."""
    found = chain.next_job()
    assert isinstance(found, Wait)
    return name_of(found.ahead())


def test_the_next_source_begins_when_nothing_of_the_one_before_is_at_work() -> None:
    first, second = Source(["a", "b"]), Source(["c"])
    chain = Chain(iter([Link(first), Link(second)]))
    assert [name_of(chain.next_job()) for _ in range(3)] == ["a", "b", "Wait"]
    assert not chain.report(done("a"))
    assert name_of(chain.next_job()) == "Wait"
    chain.lost("b", "its worker died")
    assert (name_of(chain.next_job()), chain.stage) == ("c", 1)
    assert not chain.report(done("c"))
    assert chain.next_job() is None
    assert (first.heard, second.heard) == (["a", "b lost: its worker died"], ["c"])


def test_what_is_certain_is_begun_ahead_and_heard_of_by_its_own_source() -> None:
    first, second = Source(["a"]), Source([])
    certain = iter(["c", "d"])
    chain = Chain(iter([Link(first, second, lambda: second.names.append(next(certain))), Link(second)]))
    assert name_of(chain.next_job()) == "a"
    assert ahead_of(chain) == "c"
    assert not chain.report(done("c"))
    assert ahead_of(chain) == "d"
    assert not chain.report(done("a"))
    assert name_of(chain.next_job()) == "Wait"  # "d" belongs to the link that has come
    assert chain.stage == 1
    assert ahead_of(chain) == "NoneType"  # nothing comes after it
    assert chain.report(Chunk(job="d", reports=[], outcome=Outcome.GOING, worker="h:1"))
    assert not chain.report(done("d"))
    assert chain.next_job() is None
    assert (first.heard, second.heard) == (["a"], ["c", "d", "d"])


def test_a_job_that_is_begun_ahead_does_not_keep_its_link_from_coming() -> None:
    first, second, third = Source(["a"]), Source(["b"]), Source(["c"])

    def links() -> Iterator[Link]:
        yield Link(first)
        yield Link(second, third)
        yield Link(third)

    chain = Chain(links())
    assert name_of(chain.next_job()) == "a"
    assert ahead_of(chain) == "NoneType"
    chain.report(done("a"))
    assert name_of(chain.next_job()) == "b"
    assert ahead_of(chain) == "c"
    chain.report(done("b"))
    assert name_of(chain.next_job()) == "Wait"
    assert chain.stage == 2
    chain.report(done("c"))
    assert chain.next_job() is None


def test_one_worker_never_begins_ahead() -> None:
    """Whoever asks has nothing at work, so that there is nothing to wait for."""
    chain = Chain(iter([Link(first := Source(["a", "b"]), second := Source(["c"])), Link(second)]))
    for name in ("a", "b", "c"):
        assert name_of(chain.next_job()) == name
        chain.report(done(name))
    assert chain.next_job() is None
    assert (first.heard, second.heard) == (["a", "b"], ["c"])


def test_a_report_of_a_job_that_is_not_at_work_is_an_error() -> None:
    with pytest.raises(RuntimeError, match="a reported, and is not at work"):
        Chain(iter([Link(Source(["a"]))])).report(done("a"))
