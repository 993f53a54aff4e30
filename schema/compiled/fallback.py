"""Execute an operation again by graphql-core, without calling its root resolvers again."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, cast

from graphql import (
    ExecutionResult,
    GraphQLSchema,
    MiddlewareManager,
)
from graphql import execute as execute_by_graphql_core
from orjson import Fragment
from strawberry.execution import optimized_is_awaitable
from strawberry.schema.schema import StrawberryGraphQLCoreExecutionContext

from schema.compiled.plan import Operation

Values = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Completed:
    """An object of the response that needs no completion."""

    data: dict[str, Any]


class PassthroughExecutor(StrawberryGraphQLCoreExecutionContext):
    """Takes rendered JSON and completed objects as they are."""

    def complete_object_value(  # noqa: PLR0913, PLR0917 - graphql-core's signature
        self, return_type: Any, details: Any, info: Any, path: Any, result: Any, position: Any
    ) -> Any:
        if type(result) is Fragment:
            return result
        if type(result) is Completed:
            return result.data
        return super().complete_object_value(return_type, details, info, path, result, position)


async def re_execute(
    schema: GraphQLSchema, operation: Operation, variables: Values, context: Any, resolved: Values
) -> ExecutionResult:
    """Return graphql-core's result for root fields that returned or raised `resolved`."""

    def resolve(default: Callable[..., Any], source: Any, info: Any, **arguments: Any) -> Any:
        if info.path.prev is not None or info.path.key not in resolved:
            return default(source, info, **arguments)
        result = resolved[info.path.key]
        if isinstance(result, Exception):
            raise result
        return result

    answer: Any = execute_by_graphql_core(
        schema,
        operation.document,
        context_value=context,
        variable_values=dict(variables),
        operation_name=operation.name,
        middleware=MiddlewareManager(resolve),
        is_awaitable=cast("Any", optimized_is_awaitable),
        executor_class=PassthroughExecutor,
    )
    return cast("ExecutionResult", await answer if optimized_is_awaitable(answer) else answer)
