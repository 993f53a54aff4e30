"""What the specification asks of execution, answered by plan and by graphql-core alike."""

from collections import Counter

import pytest

from tests.schema.execution import arguments, leaves, lists, nulls, order, selections
from tests.schema.execution.cases import answer, forget_plans
from tests.schema.executions import ordered

MODULES = (arguments, leaves, lists, nulls, order, selections)
CASES = [
    pytest.param(case, id=f"{module.__name__.rpartition('.')[2]}: {case.name}")
    for module in MODULES
    for case in module.CASES
]


@pytest.mark.parametrize("case", CASES)
async def test_the_answer_is_this_one_whoever_makes_it(case):
    forget_plans()

    plain = await answer(case, compiled=False)
    first = await answer(case, compiled=True)
    again = await answer(case, compiled=True)

    assert (ordered(plain.data), plain.errors) == (ordered(case.data), case.errors)
    assert (ordered(first.data), first.errors) == (ordered(case.data), case.errors)
    assert (ordered(again.data), again.errors) == (ordered(case.data), case.errors)
    assert (plain.ways, first.ways, again.ways) == (
        {"interpreted": 1},
        {case.way: 1},
        {case.way: 1},
    )


def test_what_has_no_error_is_compiled_but_for_what_no_plan_has():
    ways = Counter((one.way, bool(one.errors)) for [one] in (param.values for param in CASES))

    assert ways["compiled", True] == 0
    assert ways["compiled", False] >= 50
