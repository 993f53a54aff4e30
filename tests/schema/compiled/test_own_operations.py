"""Operations of the project's tests and benchmarks have plans."""

import ast
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from graphql import (
    DocumentNode,
    GraphQLEnumType,
    GraphQLError,
    GraphQLInputObjectType,
    GraphQLList,
    GraphQLNonNull,
    GraphQLScalarType,
    OperationDefinitionNode,
    is_specified_scalar_type,
    parse,
    print_schema,
    type_from_ast,
    validate,
)
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from hypothesis_graphql import from_schema, nodes

from benchmarks.scenarios import BODIES
from schema import schema
from schema.compiled.plan_cache import MAX_CHARACTERS, PlanCache
from tests.schema.executions import executions
from tests.schema.teams.test_decisions import register

ROOT = Path(__file__).parents[3]
FOLDERS = ("benchmarks", "tests")
CORE = schema._schema
SAMPLES = {
    "Int": 1,
    "Float": 1.0,
    "Boolean": True,
    "ID": "0" * 32,
    "DateTime": "2026-01-01T00:00:00Z",
}


def texts() -> Iterator[str]:
    for folder in FOLDERS:
        for file in sorted((ROOT / folder).rglob("*.py")):
            for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
                if isinstance(node, ast.Constant) and isinstance(node.value, str):
                    yield node.value


def documents() -> dict[str, DocumentNode]:
    """Return the valid documents by their text."""
    found: dict[str, DocumentNode] = {}
    for text in texts():
        if "{" not in text or len(text) > MAX_CHARACTERS:
            continue
        try:
            document = parse(text, max_tokens=2_000)
        except GraphQLError:
            continue
        if not validate(CORE, document):
            found[text] = document
    return found


def operations() -> list[tuple[str, DocumentNode, OperationDefinitionNode]]:
    """Return operations with their texts, without those left to graphql-core on purpose."""
    return [
        (text, document, definition)
        for text, document in documents().items()
        for definition in document.definitions
        if isinstance(definition, OperationDefinitionNode)
        and definition.selection_set.selections
        and "__schema" not in text
        and "__type(" not in text
    ]


def sample(kind: Any) -> Any:
    """Return the smallest value of an input type."""
    if isinstance(kind, GraphQLNonNull):
        return sample(kind.of_type)
    if isinstance(kind, GraphQLList):
        return []
    if isinstance(kind, GraphQLEnumType):
        return next(iter(kind.values))
    if isinstance(kind, GraphQLInputObjectType):
        return {
            name: sample(one.type)
            for name, one in kind.fields.items()
            if isinstance(one.type, GraphQLNonNull)
        }
    return SAMPLES.get(kind.name, "a")


def variables_of(operation: OperationDefinitionNode) -> dict[str, Any]:
    return {
        item.variable.name.value: sample(type_from_ast(CORE, item.type))
        for item in operation.variable_definitions or ()
    }


def test_operations_of_the_project_have_plans():
    without, plans, ours = [], PlanCache(schema), operations()
    for text, document, operation in ours:
        name = operation.name.value if operation.name else None
        plans.remember(text, name, document)
        remembered = plans.lookup(text, name)
        if remembered is not None:
            plans.bind(remembered, variables_of(operation))
        # A literal that cannot be stored is refused when its plan reads the arguments.
        if remembered is None or not any(remembered.plans.values()):
            without.append(text)

    assert without == []
    assert len(ours) > 100


SCALARS = {
    name: st.just(nodes.String("2026-01-01T00:00:00Z"))
    for name, kind in CORE.type_map.items()
    if isinstance(kind, GraphQLScalarType) and not is_specified_scalar_type(kind)
}


@pytest.mark.parametrize("examples", [100, pytest.param(1_000, marks=pytest.mark.slow)])
def test_most_generated_operations_have_plans(examples):
    counts = {True: 0, False: 0}
    plans = PlanCache(schema)

    @settings(max_examples=examples, deadline=None, suppress_health_check=list(HealthCheck))
    @given(query=from_schema(print_schema(CORE), custom_scalars=SCALARS))
    def count(query):
        document = parse(query)
        assume(not validate(CORE, document))
        plans.remember(query, None, document)
        remembered = plans.lookup(query, None)
        assume(remembered is not None)
        plans.bind(remembered, {})
        counts[any(remembered.plans.values())] += 1

    count()

    assert counts[True] >= 0.95 * sum(counts.values())
    assert sum(counts.values()) > examples / 3


@pytest.mark.parametrize("job", BODIES)
async def test_benchmarked_operations_never_fall_back(client, reviewer, job):
    if job in "BC":
        await register(client)
    body_of = BODIES[job](1, 50)

    async def send(number: int) -> None:
        headers = reviewer if job in "BC" else {"Idempotency-Key": f"measured-{job}-{number}"}
        answer = await client.post("/graphql", json=json.loads(body_of(number)), headers=headers)
        assert "errors" not in answer.json()

    await send(0)
    before = {how: executions(how) for how in ("interpreted", "reexecuted")}
    rendered = executions("rendered")

    for number in range(1, 4):
        await send(number)

    after = {how: executions(how) for how in before}
    assert after == before
    assert executions("rendered") - rendered == (3 if job in "BC" else 0)
