"""Execute an operation by its plan."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from graphql import ExecutionResult, GraphQLSchema
from strawberry.types.graphql import OperationType

from observability.metrics import GRAPHQL_EXECUTIONS
from schema.compiled.fallback import Completed, re_execute
from schema.compiled.plan import Operation, Plan, RootField
from schema.compiled.resolver_calls import ExecutionState, ResolverFailed

_COMPILED, _REEXECUTED = (GRAPHQL_EXECUTIONS.labels(how) for how in ("compiled", "reexecuted"))


@dataclass(frozen=True, slots=True, repr=False)
class BoundOperation:
    """An operation with variables, and the arguments that were read from them."""

    schema: GraphQLSchema
    operation: Operation
    plan: Plan
    variables: Mapping[str, Any]
    arguments: list[dict[str, Any]]

    async def execute(self, context: Any) -> ExecutionResult:
        if context.execution.rendered:
            context.json_projections = self.plan.json_projections
        state = ExecutionState(context, self.variables, self.arguments)
        resolved: dict[str, Any] = {}
        try:
            data = await self._data(state, resolved)
        except Exception as error:  # noqa: BLE001 - graphql-core finds and reports the cause
            if not isinstance(error, ResolverFailed):
                self.plan.log_failure(error)
        else:
            _COMPILED.inc()
            return ExecutionResult(data, None)
        _REEXECUTED.inc()
        return await re_execute(self.schema, self.operation, self.variables, context, resolved)

    async def _data(self, state: ExecutionState, resolved: dict[str, Any]) -> dict[str, Any]:
        """Execute root fields, of mutations one after the other, of queries concurrently.

        Adds to `resolved` the results or exceptions of root resolvers by their keys. Raises
        ResolverFailed, and exceptions of generated code.
        """
        roots = self.plan.roots
        if self.operation.kind is not OperationType.MUTATION and len(roots) > 1:
            results = await asyncio.gather(*[_resolve(state, root, resolved) for root in roots])
            return await _complete(state, roots, results)
        data: dict[str, Any] = {}
        for root in roots:
            completed = await _complete(state, [root], [await _resolve(state, root, resolved)])
            data |= completed
            if len(roots) > 1:
                # Not completed again after a later mutation, which may have changed its objects.
                resolved |= {
                    key: Completed(value) for key, value in completed.items() if type(value) is dict
                }
        return data


async def _resolve(state: ExecutionState, root: RootField, resolved: dict[str, Any]) -> Any:
    """Return what the root resolver returns or raises, after adding it to `resolved`."""
    call = root.call
    if call is None:
        return None
    try:
        result = await call.call(state, None) if call.is_async else call.call(state, None)
    except Exception as error:  # noqa: BLE001 - graphql-core reports it
        result = error
    resolved[root.key] = result
    return result


async def _complete(
    state: ExecutionState, roots: list[RootField], results: list[Any]
) -> dict[str, Any]:
    """Return the response's data. Raises ResolverFailed, and exceptions of generated code."""
    data = {}
    try:
        for root, result in zip(roots, results, strict=True):
            data[root.key] = root.complete(_require_success(result), state)
        while state.pending:
            batch, state.pending = state.pending, []
            values = await asyncio.gather(
                *(awaitable for _, _, awaitable, _ in batch), return_exceptions=True
            )
            for (target, key, _, complete), value in zip(batch, values, strict=True):
                target[key] = complete(_require_success(value), state)
    finally:
        for _, _, unused, _ in state.pending:
            unused.close()
    return data


def _require_success(result: Any) -> Any:
    """Return the result of a resolver. Raises ResolverFailed, and CancelledError as it is."""
    if isinstance(result, Exception):
        raise ResolverFailed from result
    if isinstance(result, BaseException):
        raise result
    return result
