"""Cases of the GraphQL specification, executed by plans and by graphql-core with equal results."""

from collections import Counter

import pytest
from structlog.testing import capture_logs

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
async def test_all_executors_give_the_expected_answer(case):
    forget_plans()

    plain = await answer(case, compiled=False)
    with capture_logs():
        first = await answer(case, compiled=True)
        second = await answer(case, compiled=True)
        third = await answer(case, compiled=True)

    assert (ordered(plain.data), plain.errors) == (ordered(case.data), case.errors)
    assert (ordered(first.data), first.errors) == (ordered(case.data), case.errors)
    assert (ordered(second.data), second.errors) == (ordered(case.data), case.errors)
    assert (ordered(third.data), third.errors) == (ordered(case.data), case.errors)
    assert (plain.ways, first.ways, second.ways, third.ways) == (
        {"interpreted": 1},
        {"interpreted": 1},
        {case.way: 1},
        {case.way: 1},
    )


def test_only_cases_without_errors_are_compiled():
    ways = Counter((one.way, bool(one.errors)) for [one] in (param.values for param in CASES))

    assert ways["compiled", True] == 0
    assert ways["compiled", False] >= 50
