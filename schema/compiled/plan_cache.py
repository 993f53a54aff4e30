"""Operations that are known: what was compiled is kept, and executed in the place of graphql-core.

The variables of an operation are read, its root resolvers called and their values completed by
generated functions. Where one of these finds anything odd, graphql-core answers, with what the
resolvers returned.
"""

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, cast

from graphql import (
    DocumentNode,
    ExecutionResult,
    Executor,
    GraphQLObjectType,
    GraphQLResolveInfo,
    MiddlewareManager,
    NamedTypeNode,
    NonNullTypeNode,
    OperationDefinitionNode,
    execute,
    get_operation_ast,
)
from graphql.execution.collect_fields import FieldDetailsList
from orjson import Fragment
from strawberry import Schema
from strawberry.execution import optimized_is_awaitable
from strawberry.schema.schema import StrawberryGraphQLCoreExecutionContext
from strawberry.types.graphql import OperationType as Kind

from observability.metrics import EXECUTIONS
from persistence.fast.json_rendering import JsonSql
from resilience.byte_bounded_cache import ByteBoundedCache
from schema.compiled.argument_compiler import Read, VariablesRefused, reader
from schema.compiled.codegen import Uncompilable
from schema.compiled.selection_compiler import ExecutionState, Root, compiled
from schema.compiled.sql_json import printed_by
from schema.limits.document_cache import operation_cache
from schema.limits.rate_limit import Charge, operation_charge

# Of one document. Longer ones are not kept.
CHARACTERS_MAX = 10_000
# Of one operation: conditions that differ.
CONDITIONS_KEPT = 16
_COMPILED, _REPEATED = (EXECUTIONS.labels(how) for how in ("compiled", "repeated"))


@dataclass(frozen=True, slots=True)
class Plan:
    """An operation under certain conditions; what prints teams, by the keys of root fields."""

    roots: list[Root]
    read: Read
    printed: Mapping[str, JsonSql]
    fields: int


@dataclass(slots=True)
class Operation:
    """One that is valid."""

    text: str
    document: DocumentNode
    name: str | None
    node: OperationDefinitionNode
    kind: Kind
    charge: Charge | None
    conditions: tuple[str, ...]
    plans: dict[tuple[Any, ...], Plan | None] = field(default_factory=dict)


class Plans:
    """Those of one schema, for the operations used last."""

    def __init__(self, schema: Schema) -> None:
        self._schema = schema
        self.operations: ByteBoundedCache[tuple[str, str | None], Operation] = operation_cache()

    def find(self, text: str, name: str | None) -> Operation | None:
        return self.operations.get((text, name))

    def learn(self, text: str, name: str | None, document: DocumentNode) -> Operation | None:
        """Keep an operation that is valid; None for one whose document is too long."""
        known, node = self.find(text, name), get_operation_ast(document, name)
        if known is not None or node is None or len(text) > CHARACTERS_MAX:
            return known
        kind = Kind(node.operation.value)
        charge = operation_charge(document, node)
        found = Operation(text, document, name, node, kind, charge, _conditions(node))
        self.operations[text, name] = found
        return found

    def prepared(
        self, operation: Operation, variables: Mapping[str, Any]
    ) -> "BoundOperation | None":
        """The operation with these variables; None where it is left to graphql-core."""
        # Booleans as they came: what is none, or is not there, has a plan of its own kind.
        conditions = tuple(variables.get(name, ...) for name in operation.conditions)
        try:
            if conditions not in operation.plans:
                if len(operation.plans) >= CONDITIONS_KEPT:
                    operation.plans.clear()
                operation.plans[conditions] = self._plan(operation, variables)
                # It takes more room than before.
                self.operations[operation.text, operation.name] = operation
            plan = operation.plans[conditions]
            return (
                None if plan is None else BoundOperation(self._schema, operation, plan, variables)
            )
        except Exception:  # noqa: BLE001 - graphql-core finds out what it is, and says where
            return None

    def _plan(self, operation: Operation, variables: Mapping[str, Any]) -> Plan | None:
        """Raises VariablesRefused."""
        executor = Executor.build(
            self._schema._schema,  # noqa: SLF001 - as Strawberry's own extensions
            operation.document,
            raw_variable_values=dict(variables),
            operation_name=operation.name,
        )
        if isinstance(executor, list):
            raise VariablesRefused
        try:
            found = compiled(executor)
        except Uncompilable:
            return None
        return Plan(
            roots=found.roots,
            read=reader(executor, found.sites, self._schema.schema_converter),
            printed=dict(printed_by(executor, found.roots)),
            fields=found.fields,
        )


class BoundOperation:
    """An operation whose variables are read. Raises what reading them raises."""

    def __init__(
        self, schema: Schema, operation: Operation, plan: Plan, variables: Mapping[str, Any]
    ) -> None:
        self._schema = schema
        self._operation = operation
        self._plan = plan
        self._variables = variables
        self._arguments = plan.read(variables)

    @property
    def charge(self) -> Charge | None:
        return self._operation.charge

    async def execute(self, context: Any) -> ExecutionResult:
        if context.execution.rendered:
            context.printed = self._plan.printed
        run = ExecutionState(context, self._variables, self._arguments)
        known: dict[str, Any] = {}
        try:
            data = await self._data(run, known)
        except Exception:  # noqa: BLE001 - graphql-core finds out what it is, and says where
            _REPEATED.inc()
            return await self._repeated(context, known)
        _COMPILED.inc()
        return ExecutionResult(data, None)

    async def _data(self, run: ExecutionState, known: dict[str, Any]) -> dict[str, Any]:
        """Mutations are answered one after the other, queries together. `known` gets what the root
        resolvers return or raise. Raises what they raise, and anything for values that are odd.
        """
        roots = self._plan.roots
        if self._operation.kind is not Kind.MUTATION and len(roots) > 1:
            outcomes = await asyncio.gather(*[_outcome(run, root, known) for root in roots])
            return await _completed(run, roots, outcomes)
        data: dict[str, Any] = {}
        for root in roots:
            done = await _completed(run, [root], [await _outcome(run, root, known)])
            data |= done
            if len(roots) > 1:
                # What comes later changes what these would be if they were completed again.
                known |= {key: Done(one) for key, one in done.items() if type(one) is dict}
        return data

    async def _repeated(self, context: Any, known: Mapping[str, Any]) -> ExecutionResult:
        """What graphql-core makes of the values of root resolvers, which are not called again."""

        def resolve(following: Callable[..., Any], source: Any, info: Any, **arguments: Any) -> Any:
            if info.path.prev is not None or info.path.key not in known:
                return following(source, info, **arguments)
            outcome = known[info.path.key]
            if isinstance(outcome, Exception):
                raise outcome
            return outcome

        answer: Any = execute(
            self._schema._schema,  # noqa: SLF001 - as Strawberry's own extensions
            self._operation.document,
            context_value=context,
            variable_values=dict(self._variables),
            operation_name=self._operation.name,
            middleware=MiddlewareManager(resolve),
            is_awaitable=cast("Any", optimized_is_awaitable),
            executor_class=PassthroughExecutor,
        )
        result = await answer if optimized_is_awaitable(answer) else answer
        return cast("ExecutionResult", result)


@dataclass(frozen=True, slots=True)
class Done:
    """An object that is completed."""

    data: dict[str, Any]


class PassthroughExecutor(StrawberryGraphQLCoreExecutionContext):
    """graphql-core's executor, which takes what is printed or completed already as it is."""

    def complete_object_value(  # noqa: PLR0913, PLR0917 - as it is called
        self,
        return_type: GraphQLObjectType,
        field_details_list: FieldDetailsList,
        info: GraphQLResolveInfo[Any],
        path: Any,
        result: Any,
        position_context: Any,
    ) -> Any:
        if type(result) is Fragment:
            return result
        if type(result) is Done:
            return result.data
        return super().complete_object_value(
            return_type, field_details_list, info, path, result, position_context
        )


async def _outcome(run: ExecutionState, root: Root, known: dict[str, Any]) -> Any:
    """What its resolver returns or raises, which is `known` then."""
    site = root.site
    if site is None:
        return None
    try:
        found = site.call(run, None)
        outcome = await found if site.is_async else found
    except Exception as error:  # noqa: BLE001 - located and told by graphql-core
        outcome = error
    known[root.key] = outcome
    return outcome


async def _completed(run: ExecutionState, roots: list[Root], outcomes: list[Any]) -> dict[str, Any]:
    """The answer's data. Raises what resolvers raised, and anything for values that are odd."""
    data = {}
    try:
        for root, outcome in zip(roots, outcomes, strict=True):
            data[root.key] = root.complete(_returned(outcome), run)
        while run.pending:
            waiting, run.pending = run.pending, []
            values = await asyncio.gather(
                *(one for _, _, one, _ in waiting), return_exceptions=True
            )
            for (target, key, _, complete), value in zip(waiting, values, strict=True):
                target[key] = complete(_returned(value), run)
    finally:
        for _, _, unused, _ in run.pending:
            unused.close()
    return data


def _returned(outcome: Any) -> Any:
    """The outcome of a resolver; raised if it is what was raised."""
    if isinstance(outcome, BaseException):
        raise outcome
    return outcome


def _conditions(operation: OperationDefinitionNode) -> tuple[str, ...]:
    """The variables that can decide what is selected: only Boolean ones are taken there."""
    names = []
    for definition in operation.variable_definitions or ():
        kind = definition.type
        kind = kind.type if isinstance(kind, NonNullTypeNode) else kind
        if isinstance(kind, NamedTypeNode) and kind.name.value == "Boolean":
            names.append(definition.variable.name.value)
    return tuple(names)
