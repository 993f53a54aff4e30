"""Calls of resolvers from generated code, and the state of one execution."""

from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from typing import Any

from graphql import Executor, GraphQLObjectType, GraphQLResolveInfo
from graphql.execution.collect_fields import FieldDetailsList
from graphql.pyutils import Path
from strawberry import Info
from strawberry.types.field import StrawberryField

from schema.compiled.codegen import DEFINITION

Complete = Callable[[Any, "ExecutionState"], Any]
"""A generated function: from what a resolver returned to what the response contains."""


class ResolverFailed(Exception):
    """A resolver raised an exception, which graphql-core turns into an error of the response."""


class ResolverCall:
    """A resolver at its position in an operation. `number` is the index of its arguments."""

    def __init__(
        self,
        executor: Executor[Any],
        parent: GraphQLObjectType,
        key: str,
        details: FieldDetailsList,
        number: int,
    ) -> None:
        self.parent, self.details, self.number = parent, details, number
        self.name = details[0].node.name.value
        self.definition = parent.fields[self.name]
        self.field: StrawberryField = self.definition.extensions[DEFINITION]
        self.path = Path(None, key, parent.name)
        resolver: Any = self.field.base_resolver
        parent_parameter = resolver.parent_parameter or resolver.root_parameter
        self.is_async: bool = resolver.is_async
        self._function = resolver.wrapped_func
        self._parent_name = parent_parameter and parent_parameter.name
        self._info_name = resolver.info_parameter and resolver.info_parameter.name
        self.info_fields: dict[str, Any] = {
            "field_name": self.name,
            "field_nodes": [field_details.node for field_details in details],
            "return_type": self.definition.type,
            "parent_type": parent,
            "path": self.path,
            "schema": executor.schema,
            "fragments": executor.fragment_definitions,
            "root_value": None,
            "operation": executor.operation,
            "is_awaitable": executor.is_awaitable,
            "abort_signal": executor.abort_signal,
            "async_helpers": executor.async_helpers,
        }

    def call(self, state: "ExecutionState", parent: Any) -> Any:
        """Return the resolver's result for the parent object, or an awaitable of it."""
        arguments = state.arguments[self.number].copy()
        if self._parent_name is not None:
            arguments[self._parent_name] = parent
        if self._info_name is not None:
            arguments[self._info_name] = LazyInfo(self, state)
        return self._function(**arguments)

    def call_nested(self, state: "ExecutionState", parent: Any) -> Any:
        """Return the same as `call`. Raises ResolverFailed."""
        try:
            return self.call(state, parent)
        except Exception as error:
            raise ResolverFailed from error


class LazyInfo(Info[Any, Any]):
    """An `Info` that builds graphql-core's only if needed: most resolvers read the context."""

    def __init__(self, call: ResolverCall, state: "ExecutionState") -> None:
        self._call, self._state, self._field = call, state, call.field

    @property
    def context(self) -> Any:
        return self._state.context

    @property
    def path(self) -> Path:
        return self._call.path

    @property
    def _raw_info(self) -> GraphQLResolveInfo[Any]:  # type: ignore[override]
        state = self._state
        return GraphQLResolveInfo(
            **self._call.info_fields, variable_values=state.variables, context=state.context
        )


@dataclass(slots=True, repr=False)
class ExecutionState:
    """State of an execution. `pending` are objects of the response with keys to be awaited."""

    context: Any
    variables: Any
    arguments: list[dict[str, Any]]
    pending: list[tuple[dict[str, Any], str, Coroutine[Any, Any, Any], Complete]] = field(
        default_factory=list
    )
