"""What decides which caveats hold for a run: from its plan before it starts, from its result once it has ended."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, replace
from typing import Any

from search.run_folder.plan import SearchPlan
from search.run_folder.run_view import RunView
from search.wording import CaveatFacts


def facts_of_plan(plan: SearchPlan) -> CaveatFacts:
    """Before the first trial; transductive where any configuration of the space may be."""
    warm = plan.warm_start
    return CaveatFacts(
        synthetic=plan.synthetic,
        speakers_mixed=not plan.speaker_independent,
        transductive=plan.transductive,
        tuned_on=tuple(warm.test_speakers) if warm else (),
        tuned_in=warm.source if warm else "",
        taken_over=bool(warm and warm.alone),
        **_start_facts({} if plan.start is None else asdict(plan.start)),
    )


def facts_of_result(result: Mapping[str, Any]) -> CaveatFacts:
    """Those of result.json."""
    warm = result.get("warm_start") or {}
    return CaveatFacts(
        synthetic=bool(result["corpus"].get("synthetic")),
        speakers_mixed=not result["split"]["speaker_independent"],
        transductive=bool(result.get("transductive")),
        tuned_on=tuple(warm.get("test_speakers", ())),
        tuned_in=str(warm.get("source", "")),
        taken_over=bool(warm.get("alone")),
        **_start_facts(result.get("start") or {}),
        test_reads=int(result["test_reads"]),
    )


def facts_of_run(run: RunView) -> CaveatFacts:
    """At any moment of a run; what only the winner decides is known at its end."""
    result = run.result or {}
    return replace(
        facts_of_plan(run.plan),
        transductive=bool(result.get("transductive")),
        test_reads=int(result.get("test_reads", 0)),
    )


def _start_facts(start: Mapping[str, Any]) -> dict[str, Any]:
    """Those of the model whose weights a run began with; {} where there is nothing to beware of."""
    clips, speakers = int(start.get("test_clips", 0)), tuple(start.get("test_speakers", ()))
    if not start or (start["clips_known"] and not clips and not speakers):
        return {}
    return {"start": str(start["source"]), "heard_clips": clips, "heard_speakers": speakers}
