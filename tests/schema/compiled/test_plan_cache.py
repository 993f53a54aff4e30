"""Plans: when they are made, what their source is, and what is logged if they fail."""

import linecache
import re
from textwrap import dedent, indent
from types import FunctionType
from typing import Any

import pytest
from graphql import parse
from structlog.testing import capture_logs

import schema.compiled
from schema import schema as own_schema
from schema.compiled import plan_cache
from schema.compiled.codegen import CodeBuilder
from schema.compiled.plan_cache import PlanCache
from tests.schema.execution.cases import Answer, Case, answer, forget_plans
from tests.schema.execution.model import SCHEMA, Box


def source_of(function: FunctionType) -> str:
    return "".join(linecache.getlines(function.__code__.co_filename))


def test_docstring_shows_the_source_generated_for_its_query():
    text = schema.compiled.__doc__ or ""
    query, arguments, results = (
        dedent(block) for block in re.findall(r"\n\n((?: {4}.*\n)+)", text)
    )
    plans = PlanCache(own_schema)
    plans.remember(query, None, parse(query))
    operation = plans.lookup(query, None)

    bound = plans.bind(operation, {"search": "CSI"})

    # The reader is wrapped by the text rules of its arguments.
    (reader,) = (
        cell.cell_contents
        for cell in bound.plan.read_arguments.__closure__
        if isinstance(cell.cell_contents, FunctionType)
    )
    assert source_of(reader) == arguments
    assert source_of(bound.plan.roots[0].complete) == results


async def ways(case: Case, times: int) -> list[dict[str, int]]:
    return [dict((await answer(case, compiled=True)).ways) for _ in range(times)]


WORD = Case(name="a word", query="{ word }", gives={"word": "a"}, data={"word": "a"})


async def test_document_sent_once_is_not_compiled(monkeypatch):
    forget_plans()

    def fail(*_args: Any) -> None:
        raise AssertionError

    monkeypatch.setattr(plan_cache, "compile_operation", fail)

    assert await ways(WORD, 1) == [{"interpreted": 1}]


async def test_document_is_compiled_once_when_it_is_sent_again(monkeypatch):
    forget_plans()
    compiled, compile_operation = [], plan_cache.compile_operation

    def count(executor: Any) -> Any:
        compiled.append(executor)
        return compile_operation(executor)

    monkeypatch.setattr(plan_cache, "compile_operation", count)

    assert await ways(WORD, 4) == [{"interpreted": 1}, *[{"compiled": 1}] * 3]
    assert len(compiled) == 1


NULL_LABEL = Case(
    name="a null",
    query="{ inner { mustLabel } }",
    gives={"inner": lambda: Box(gives={}, must_label=None)},
    data={"inner": None},
)


async def test_exception_in_generated_code_is_logged_once_for_each_plan():
    forget_plans()

    with capture_logs() as logs:
        answers: list[Answer] = [await answer(NULL_LABEL, compiled=True) for _ in range(4)]

    failures = [line for line in logs if line["event"] == "generated_code_failed"]
    assert [item.ways for item in answers] == [{"interpreted": 1}, *[{"reexecuted": 1}] * 3]
    assert {entry.errors[0][0] for entry in answers} == {
        "Cannot return null for non-nullable field Box.mustLabel."
    }
    assert [line["log_level"] for line in failures] == ["warning"]
    error = failures[0]["exc_info"]
    (innermost,) = traceback_lines(error)[-1:]
    assert innermost == "raise ValueError"


def traceback_lines(error: BaseException) -> list[str]:
    lines, traceback = [], error.__traceback__
    while traceback is not None:
        file_name = traceback.tb_frame.f_code.co_filename
        lines.append(linecache.getline(file_name, traceback.tb_lineno).strip())
        traceback = traceback.tb_next
    return lines


@pytest.mark.parametrize(
    ("query", "gives", "variables"),
    [
        ("{ word }", {"word": ValueError("broken")}, {}),
        ("{ inner { word } }", {"inner": lambda: Box(gives={"word": ValueError("x")})}, {}),
        ("query Q($text: String) { told(text: $text) }", {}, {"text": ["no text"]}),
    ],
    ids=["root resolver", "nested resolver", "invalid variables"],
)
async def test_errors_of_resolvers_and_clients_are_no_failures_of_generated_code(
    query, gives, variables
):
    forget_plans()
    case = Case(name="", query=query, gives=gives, variables=variables, data=None)

    with capture_logs() as logs:
        answers = [await answer(case, compiled=True) for _ in range(3)]

    assert all(item.errors for item in answers)
    assert [line for line in logs if line["event"] == "generated_code_failed"] == []


TOLD = "query ($text: String, $count: Int) { told(text: $text, count: $count) }"
SCALED = "query ($by: Float!, $key: ID, $up: Boolean!) { scaled(by: $by, key: $key, isUp: $up) }"
ORDINARY = {"by": 0.5, "key": "k", "up": True}
COLOURS = "query ($colours: [Colour!]) { measured(colours: $colours) }"


@pytest.mark.parametrize(
    ("query", "ordinary", "converted"),
    [
        (SCALED, ORDINARY, ORDINARY | {"key": 12}),
        (SCALED, ORDINARY, ORDINARY | {"key": 0}),
        (SCALED, ORDINARY, ORDINARY | {"key": 1e308}),
        (SCALED, ORDINARY, ORDINARY | {"key": 2**70}),
        (TOLD, {"count": 2}, {"count": 2.0}),
        (TOLD, {"count": 2}, {"count": -0.0}),
        (COLOURS, {"colours": ["RED"]}, {"colours": "RED"}),
    ],
)
async def test_values_that_graphql_core_converts_are_not_logged(query, ordinary, converted):
    forget_plans()
    for _ in range(2):
        await answer(Case(name="", query=query, variables=ordinary, data=None), compiled=True)

    with capture_logs() as logs:
        answered = await answer(
            Case(name="", query=query, variables=converted, data=None), compiled=True
        )

    assert (answered.ways, answered.errors) == ({"interpreted": 1}, [])
    assert logs == []


async def test_variables_that_only_generated_code_refuses_are_logged(monkeypatch):
    forget_plans()
    query = "query Q($text: String) { told(text: $text) }"
    case = Case(name="", query=query, variables={"text": "a"}, data=None)
    await answer(case, compiled=True)
    await answer(case, compiled=True)
    (plan,) = SCHEMA.plans.lookup(query, None).plans.values()

    def refuse(_variables: Any) -> Any:
        raise KeyError

    monkeypatch.setattr(plan, "read_arguments", refuse)
    with capture_logs() as logs:
        answers = [await answer(case, compiled=True) for _ in range(2)]

    assert [item.ways for item in answers] == [{"interpreted": 1}] * 2
    assert [entry.errors for entry in answers] == [[], []]
    assert [line["event"] for line in logs] == ["generated_code_failed"]


def test_source_of_dropped_functions_leaves_linecache():
    builder = CodeBuilder()
    name = builder.define("one", "value", indent("return value", "    "))
    function = builder.build()[name]
    file_name = function.__code__.co_filename

    assert file_name in linecache.cache
    function.__globals__.clear()
    del builder, function

    assert file_name not in linecache.cache


def test_values_are_added_once_by_identity():
    builder = CodeBuilder()
    first, equal = [1], [1]

    names = [builder.add(value) for value in (first, equal, first)]

    assert names[0] == names[2] != names[1]
