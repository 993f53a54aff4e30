"""The schema class, and the entry points to compiled execution.

An operation's first execution is Strawberry's: it parses, validates and checks all limits. When the
operation is sent again, only the limits that depend on variables and caller are checked, and its
plan executes it.
"""

from collections.abc import AsyncIterator, Collection
from dataclasses import dataclass
from typing import Any, cast

from graphql import ExecutionResult, GraphQLError
from strawberry import Schema
from strawberry.extensions import SchemaExtension
from strawberry.types.execution import ExecutionContext
from strawberry.types.graphql import OperationType

from domain.errors.base import DomainError
from observability.metrics import GRAPHQL_EXECUTIONS
from schema.compiled.bound_operation import BoundOperation
from schema.compiled.plan_cache import PlanCache
from schema.context import Context
from schema.limits.query_limits import (
    document_cache,
    estimate_cost,
    load_document_node,
    require_operation,
    require_within_budget,
)
from schema.registration.omitted_fields import OmittedFieldFiller

_INTERPRETED = GRAPHQL_EXECUTIONS.labels("interpreted")


class CompiledSchema(Schema):
    """A Strawberry schema that compiles operations which are sent repeatedly."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.plans = PlanCache(self)
        self.omitted_fields = OmittedFieldFiller(self._schema)

    def process_errors(
        self, errors: list[GraphQLError], execution_context: ExecutionContext | None = None
    ) -> None:
        """Log nothing: `schema/errors.py` logs errors when it formats them."""


class CompiledExecution(SchemaExtension):
    """Remembers operations that are valid, and executes those with a plan by it."""

    async def on_execute(self) -> AsyncIterator[None]:
        execution = self.execution_context
        schema, context = cast("CompiledSchema", execution.schema), execution.context
        text, name = execution.query or "", context.operation_name
        document_cache.mark_executed(text)
        document, bound = load_document_node(text), None
        node = require_operation(text, name)
        execution.variables = dict(schema.omitted_fields.fill(node, execution.variables or {}))
        if context.execution.compiled:
            operation = schema.plans.lookup(text, name)
            if operation is None:
                schema.plans.remember(text, name, document)
            else:
                bound = schema.plans.bind(operation, execution.variables)
        if bound is None:
            _INTERPRETED.inc()
        else:
            execution.result = await bound.execute(context)
        yield


@dataclass(slots=True, kw_only=True)
class OperationRequest:
    """A document, the name of the operation to execute, and the types that are allowed."""

    text: str
    operation_name: str | None
    variables: dict[str, Any]
    allowed: Collection[OperationType]


async def execute(schema: CompiledSchema, request: OperationRequest, context: Context) -> Any:
    """Return the result, of graphql-core's class or of Strawberry's.

    Raises Strawberry's InvalidOperationTypeError and CannotGetOperationTypeError.
    """
    bound = await _bind(schema, request, context) if context.execution.compiled else None
    if bound is None:
        return await schema.execute(
            request.text,
            variable_values=request.variables,
            context_value=context,
            operation_name=request.operation_name,
            allowed_operation_types=request.allowed,
        )
    charge = bound.operation.charge
    if charge is not None:
        try:
            await context.check_rate_limit(charge.kind, charge.count)
        except DomainError as error:
            return ExecutionResult(None, [GraphQLError(error.message, original_error=error)])
    return await bound.execute(context)


async def _bind(
    schema: CompiledSchema, request: OperationRequest, context: Context
) -> BoundOperation | None:
    """Return None for operations that Strawberry has to execute, or to refuse with its errors."""
    operation = schema.plans.lookup(request.text, request.operation_name)
    if operation is None or context.wants_cost or operation.kind not in request.allowed:
        return None
    try:
        core = schema._schema  # noqa: SLF001 - as Strawberry's own extensions
        cost = await estimate_cost(core, request.text, operation.node, request.variables, context)
        require_within_budget(cost, context.caller)
    except DomainError:
        return None
    variables = schema.omitted_fields.fill(operation.node, request.variables)
    return schema.plans.bind(operation, variables)
