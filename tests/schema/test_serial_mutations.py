"""Mutations of one operation: each is completed, nested resolvers too, before the next runs."""

import asyncio
from dataclasses import dataclass, field
from typing import Any

import pytest
import strawberry
from strawberry.types.graphql import OperationType

from schema.compiled.executor import CompiledExecution, CompiledSchema, OperationRequest, execute
from schema.context import ExecutionOptions
from tests.schema.execution import cases
from tests.schema.executions import executions

ALL = 'mutation { one: step(name: "1") { seen } two: step(name: "2") { seen } last: quick }'


@dataclass
class Running(cases.Running):
    done: list[str] = field(default_factory=list)
    broken: str = ""


async def _seen(root: strawberry.Parent["Step"], info: strawberry.Info) -> str:
    await asyncio.sleep(0)
    if root.name == info.context.broken:
        raise ValueError("broken")
    return " ".join(info.context.done)


@strawberry.type
class Step:
    name: strawberry.Private[str]
    seen: str = strawberry.field(resolver=_seen)


async def _step(info: strawberry.Info, name: str) -> Step | None:
    await asyncio.sleep(0)
    info.context.done.append(name)
    return Step(name=name)


def _quick(info: strawberry.Info) -> str | None:
    info.context.done.append("quick")
    return "quick"


@strawberry.type
class Query:
    word: str = "word"


@strawberry.type
class Mutation:
    step: Step | None = strawberry.mutation(resolver=_step)
    quick: str | None = strawberry.mutation(resolver=_quick)


SCHEMA = CompiledSchema(query=Query, mutation=Mutation, extensions=[CompiledExecution])


async def run(running: Running, text: str = ALL) -> Any:
    allowed = (OperationType.MUTATION,)
    request = OperationRequest(text=text, operation_name=None, variables={}, allowed=allowed)
    return await execute(SCHEMA, request, running)


@pytest.mark.parametrize("compiled", [True, False])
async def test_each_mutation_sees_the_effects_of_earlier_ones(compiled):
    await run(Running({}, ExecutionOptions(compiled=compiled)))
    before = executions("compiled")
    running = Running({}, ExecutionOptions(compiled=compiled))

    result = await run(running)

    assert result.errors is None
    assert result.data == {"one": {"seen": "1"}, "two": {"seen": "1 2"}, "last": "quick"}
    assert running.done == ["1", "2", "quick"]
    assert executions("compiled") == before + compiled


@pytest.mark.parametrize("compiled", [True, False])
async def test_typename_beside_a_failed_mutation_keeps_its_error(compiled):
    document = 'mutation { __typename one: step(name: "1") { seen } }'
    await run(Running({}, ExecutionOptions(compiled=compiled)), document)
    running = Running({}, ExecutionOptions(compiled=compiled), broken="1")

    result = await run(running, document)

    assert result.data == {"__typename": "Mutation", "one": None}
    assert [(error.message, error.path) for error in result.errors] == [("broken", ["one", "seen"])]


@pytest.mark.parametrize("compiled", [True, False])
@pytest.mark.parametrize("broken", ["1", "2"])
async def test_mutations_beside_a_failed_one_run_once(compiled, broken):
    await run(Running({}, ExecutionOptions(compiled=compiled)))
    running = Running({}, ExecutionOptions(compiled=compiled), broken=broken)

    result = await run(running)

    key = {"1": "one", "2": "two"}[broken]
    whole = {"one": {"seen": "1"}, "two": {"seen": "1 2"}, "last": "quick"}
    assert result.data == whole | {key: None}
    assert [(error.message, error.path) for error in result.errors] == [("broken", [key, "seen"])]
    assert running.done == ["1", "2", "quick"]
