from __future__ import annotations

import json
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spaces.knobs import Choice, Float, Int, Knob, KnobError, Space, Value, When, knob_from_json, knob_to_json

NAMES = ("a", "b", "c", "d")


@st.composite
def choices(draw: st.DrawFn) -> Choice:
    return Choice(values=tuple(draw(st.lists(st.integers(0, 5), min_size=1, max_size=4, unique=True))))


@st.composite
def ints(draw: st.DrawFn) -> Int:
    low, step, steps = draw(st.integers(-50, 50)), draw(st.integers(1, 7)), draw(st.integers(0, 20))
    return Int(low=low, high=low + step * steps, step=step)


@st.composite
def spaces(draw: st.DrawFn) -> Space:
    """Up to four choices; each but the first may depend on one that stands before it."""
    knobs: dict[str, Knob] = {}
    for name in NAMES[: draw(st.integers(1, 4))]:
        knob, when = draw(choices()), None
        if knobs and draw(st.booleans()):
            parent = draw(st.sampled_from(sorted(knobs)))
            values = draw(st.lists(st.sampled_from(knobs[parent].values), min_size=1, unique=True))
            when = When(name=parent, values=tuple(values))
        knobs[name] = Choice(values=knob.values, when=when)
    return Space(knobs=knobs)


def active_params(space: Space, picks: list[int]) -> dict[str, Value]:
    """What a sampler proposes: a value for every knob whose condition holds, in the space's order."""
    params: dict[str, Value] = {}
    for (name, knob), pick in zip(space.knobs.items(), picks, strict=False):
        if space.active(name, params):
            params[name] = knob.values[pick % len(knob.values)]
    return params


@pytest.mark.parametrize(
    ("low", "high", "log", "message"),
    [
        (2, 1, False, r"low <= high; got 2:1"),
        (0.0, 1.0, True, r"log scale needs bounds above 0; got 0.0:1.0"),
        (math.nan, 1.0, False, r"must be finite and in order.*got nan:1.0"),
        (0.0, math.inf, False, r"must be finite and in order.*got 0.0:inf"),
    ],
)
def test_float_refuses_bounds(low: float, high: float, log: bool, message: str) -> None:
    with pytest.raises(KnobError, match=message):
        Float(low=low, high=high, log=log)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"low": 1.0, "high": 4}, r"low of an Int knob must be a whole number; got 1.0"),
        ({"low": 0, "high": True}, r"high of an Int knob must be a whole number; got True"),
        ({"low": 1, "high": 4, "step": 2}, r"divide high - low = 3.*got 2"),
        ({"low": 1, "high": 4, "step": 0}, r"step must be at least 1.*got 0"),
        ({"low": 2, "high": 8, "step": 2, "log": True}, r"a log scale has no step; got step=2"),
        ({"low": 0, "high": 8, "log": True}, r"log scale needs bounds above 0; got 0:8"),
    ],
)
def test_int_refuses_bounds(arguments: dict[str, int], message: str) -> None:
    with pytest.raises(KnobError, match=message):
        Int(**arguments)


@pytest.mark.parametrize("values", [(), ("a", "a"), (1, 2, 1)])
def test_choice_refuses_no_values_and_doubles(values: tuple[Value, ...]) -> None:
    with pytest.raises(KnobError, match=r"at least one value|must differ from one another"):
        Choice(values=values)


def test_condition_needs_a_value() -> None:
    with pytest.raises(KnobError, match=r"at least one value of 'optim.schedule'; got none"):
        When(name="optim.schedule", values=())


@given(low=st.floats(-1e6, 1e6), width=st.floats(0, 1e6), value=st.floats(allow_nan=True))
def test_float_accepts_exactly_its_interval(low: float, width: float, value: float) -> None:
    knob = Float(low=low, high=low + width)
    assert knob.accepts(knob.low)
    assert knob.accepts(knob.high)
    assert knob.accepts(value) == (knob.low <= value <= knob.high)


@given(knob=ints(), value=st.integers(-80, 250))
def test_int_accepts_exactly_what_its_steps_reach(knob: Int, value: int) -> None:
    assert knob.accepts(knob.low)
    assert knob.accepts(knob.high)
    assert knob.accepts(value) == (value in range(knob.low, knob.high + 1, knob.step))


@pytest.mark.parametrize("knob", [Float(low=0, high=2), Int(low=0, high=2), Choice(values=(0, 1))])
@pytest.mark.parametrize("value", [True, "1", None, math.nan])
def test_types_are_not_mixed(knob: Knob, value: object) -> None:
    assert not knob.accepts(value)


def test_choice_tells_true_from_one() -> None:
    assert Choice(values=(True, 1)).accepts(True)
    assert not Choice(values=(1, 2)).accepts(True)
    assert not Choice(values=(True, False)).accepts(1)


def test_space_reports_every_problem_at_once() -> None:
    with pytest.raises(KnobError) as raised:
        Space(
            knobs={
                "late": Int(low=0, high=1, when=When(name="kind", values=("x",))),
                "kind": Choice(values=("x", "y")),
                "never": Int(low=0, high=1, when=When(name="kind", values=("x", "z"))),
            },
            first=({"kind": "q", "unknown": 1},),
        )
    assert str(raised.value).splitlines() == [
        "late: when= must name a knob that stands before it; got 'kind'",
        "never: kind can never be 'z'",
        "first[0]: kind='q' is outside Choice(values=('x', 'y'), when=None)",
        "first[0]: unknown knob 'unknown'; known: late, kind, never",
    ]


@given(space=spaces(), picks=st.lists(st.integers(0, 5), min_size=4, max_size=4), data=st.data())
def test_fixing_values_leaves_what_a_sampler_that_drew_them_would_still_ask(
    space: Space, picks: list[int], data: st.DataObject
) -> None:
    params = active_params(space, picks)
    fixed_names = data.draw(st.lists(st.sampled_from(sorted(params)), unique=True))
    fixed = {name: params[name] for name in fixed_names}
    rest = space.fixed(fixed)

    assert not set(rest.knobs) & set(fixed)
    remaining = {name: value for name, value in params.items() if name not in fixed}
    for name in space.knobs:
        if name not in fixed:
            active = name in rest.knobs and rest.active(name, remaining)
            assert active == (name in params)


def test_fixing_cuts_first_configurations() -> None:
    space = Space(
        knobs={
            "optimizer": Choice(values=("adam", "sgd")),
            "momentum": Float(low=0, high=1, when=When(name="optimizer", values=("sgd",))),
            "rate": Float(low=0, high=1),
        },
        first=({"optimizer": "sgd", "momentum": 0.9, "rate": 0.1},),
    )
    with_adam = space.fixed({"optimizer": "adam", "no.knob": 1})
    assert list(with_adam.knobs) == ["rate"]
    assert with_adam.first == ({"rate": 0.1},)

    with_sgd = space.fixed({"optimizer": "sgd"})
    assert with_sgd.knobs["momentum"] == Float(low=0, high=1)
    assert with_sgd.first == ({"momentum": 0.9, "rate": 0.1},)


def test_first_configurations_that_become_alike_are_tried_once() -> None:
    space = Space(
        knobs={"width": Choice(values=(16, 32)), "rate": Float(low=0, high=1)},
        first=({"width": 16, "rate": 0.1}, {"width": 32, "rate": 0.1}, {"width": 32}),
    )
    assert space.fixed({"width": 16}).first == ({"rate": 0.1},)
    assert space.replaced({"width": Choice(values=(64, 128))}).first == ({"rate": 0.1},)


def test_replacing_keeps_conditions_and_drops_first_values_out_of_the_new_bounds() -> None:
    when = When(name="kind", values=("x",))
    space = Space(
        knobs={"kind": Choice(values=("x", "y")), "width": Int(low=1, high=100, when=when)},
        first=({"kind": "x", "width": 80},),
    )
    narrowed = space.replaced({"width": Int(low=1, high=50), "new": Float(low=0, high=1)})
    assert narrowed.knobs["width"] == Int(low=1, high=50, when=when)
    assert narrowed.knobs["new"] == Float(low=0, high=1)
    assert narrowed.first == ({"kind": "x"},)
    assert space.knobs["width"] == Int(low=1, high=100, when=when)


def test_narrowing_a_knob_narrows_and_drops_what_depends_on_it() -> None:
    space = Space(
        knobs={
            "pooling": Choice(values=("mean", "max", "attention")),
            "heads": Int(low=1, high=8, when=When(name="pooling", values=("attention",))),
            "head_width": Int(low=8, high=64, when=When(name="heads", values=(2, 4))),
            "scale": Float(low=0, high=1, when=When(name="pooling", values=("max", "attention"))),
        },
        first=({"pooling": "attention", "heads": 4, "scale": 0.5},),
    )
    narrowed = space.replaced({"pooling": Choice(values=("mean", "max"))})
    assert narrowed.knobs == {
        "pooling": Choice(values=("mean", "max")),
        "scale": Float(low=0, high=1, when=When(name="pooling", values=("max",))),
    }
    assert narrowed.first == ({"scale": 0.5},)


def test_a_knob_asked_for_by_name_is_never_dropped_in_silence() -> None:
    space = Space(
        knobs={
            "pooling": Choice(values=("mean", "attention")),
            "heads": Int(low=1, high=8, when=When(name="pooling", values=("attention",))),
        }
    )
    with pytest.raises(KnobError, match="heads: pooling can never be 'attention'"):
        space.replaced({"pooling": Choice(values=("mean",)), "heads": Int(low=1, high=4)})


@pytest.mark.parametrize(
    "knob",
    [
        Float(low=1e-5, high=1e-2, log=True),
        Int(low=2, high=8, step=2, when=When(name="kind", values=("x", 1))),
        Choice(values=("x", 1, 0.5, True)),
    ],
)
def test_knobs_survive_json(knob: Knob) -> None:
    read = knob_from_json(json.loads(json.dumps(knob_to_json(knob))))
    assert read == knob
    assert type(read) is type(knob)


def test_json_of_an_unknown_knob_is_refused() -> None:
    with pytest.raises(KnobError, match="a knob is one of float, int, choice; got 'range'"):
        knob_from_json({"type": "range", "low": 0})
