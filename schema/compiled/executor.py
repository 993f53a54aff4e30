"""How an operation is executed: by its plan if it can have one, else by graphql-core.

Strawberry parses, validates and admits an operation that is not known yet. What is known needs no
more than its limits checked, which depend on the variables and on who asks.
"""

from collections.abc import AsyncIterator, Collection
from dataclasses import dataclass
from typing import Any

from graphql import ExecutionResult, GraphQLError, get_operation_ast
from strawberry import Schema
from strawberry.extensions import SchemaExtension
from strawberry.types.execution import ExecutionContext
from strawberry.types.graphql import OperationType

from domain.errors.exceptions import DomainError
from observability.metrics import EXECUTIONS
from schema.compiled.plan_cache import BoundOperation, Plans
from schema.context import Context
from schema.limits.query_limits import (
    document_cache,
    operation_cost,
    parse_document,
    require_within_budget,
)
from schema.registration.omitted_fields import OmittedFieldFiller

_INTERPRETED = EXECUTIONS.labels("interpreted")


class PlannedSchema(Schema):
    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.plans = Plans(self)
        self.omitted_fields = OmittedFieldFiller(self._schema)

    def process_errors(
        self, errors: list[GraphQLError], execution_context: ExecutionContext | None = None
    ) -> None:
        """Errors are logged where they are published (`schema/errors.py`), not here."""


class CompiledSchema(SchemaExtension):
    """Executes what is valid by its plan, in the place of graphql-core."""

    async def on_execute(self) -> AsyncIterator[None]:
        execution = self.execution_context
        context: Context = execution.context
        schema, text = execution.schema, execution.query or ""
        document_cache.mark_executed(text)
        prepared = None
        if isinstance(schema, PlannedSchema):
            node = get_operation_ast(parse_document(text), context.operation_name)
            if node is not None:
                variables = schema.omitted_fields.fill(node, execution.variables or {})
                execution.variables = dict(variables)
            if context.execution.compiled:
                operation = schema.plans.learn(text, context.operation_name, parse_document(text))
                if operation is not None:
                    prepared = schema.plans.prepared(operation, execution.variables or {})
        if prepared is None:
            _INTERPRETED.inc()
        else:
            execution.result = await prepared.execute(context)
        yield


@dataclass(slots=True, kw_only=True)
class OperationRequest:
    """A document with the name of the operation that is meant, and what it may be."""

    text: str
    operation_name: str | None
    variables: dict[str, Any]
    allowed: Collection[OperationType]


async def execute(schema: PlannedSchema, asked: OperationRequest, context: Context) -> Any:
    """The result, graphql-core's or Strawberry's.

    Raises Strawberry's InvalidOperationTypeError and CannotGetOperationTypeError.
    """
    prepared = await _prepared(schema, asked, context) if context.execution.compiled else None
    if prepared is None:
        return await schema.execute(
            asked.text,
            variable_values=asked.variables,
            context_value=context,
            operation_name=asked.operation_name,
            allowed_operation_types=asked.allowed,
        )
    charge = prepared.charge
    if charge is not None:
        try:
            await context.check_rate_limit(charge.kind, charge.count)
        except DomainError as error:
            return ExecutionResult(None, [GraphQLError(error.message, original_error=error)])
    return await prepared.execute(context)


async def _prepared(
    schema: PlannedSchema, asked: OperationRequest, context: Context
) -> BoundOperation | None:
    """None for what is not known or refused, and for its cost: Strawberry tells them."""
    operation = schema.plans.find(asked.text, asked.operation_name)
    if operation is None or context.wants_cost or operation.kind not in asked.allowed:
        return None
    try:
        core = schema._schema  # noqa: SLF001 - as Strawberry's own extensions
        cost = await operation_cost(core, asked.text, operation.node, asked.variables, context)
        require_within_budget(cost, context.caller)
    except DomainError:
        return None
    variables = schema.omitted_fields.fill(operation.node, asked.variables)
    return schema.plans.prepared(operation, variables)
