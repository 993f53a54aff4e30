"""Operations as generated functions, from what resolvers return to what stands in the answer.

A function is right or it raises: whatever is not exactly what the schema says (a null that is not
allowed, a value of another type) ends it, and graphql-core answers the same operation instead.
Errors, paths and nulls are its own, therefore; only what has no error is faster.
"""

from collections.abc import Callable, Coroutine, Iterator
from dataclasses import dataclass, field
from typing import Any, cast

from graphql import (
    Executor,
    GraphQLEnumType,
    GraphQLField,
    GraphQLInterfaceType,
    GraphQLList,
    GraphQLNonNull,
    GraphQLObjectType,
    GraphQLOutputType,
    GraphQLResolveInfo,
    GraphQLScalarType,
    Undefined,
    get_nullable_type,
    is_specified_scalar_type,
)
from graphql.execution.collect_fields import FieldDetailsList, collect_fields
from graphql.pyutils import Path
from orjson import Fragment
from strawberry import Info
from strawberry.types.field import StrawberryField

from schema.compiled.codegen import DEFINITION, Source, Uncompilable, leaf_check, null_guard
from schema.limits.text_rules import wraps_resolver

FIELDS_MAX = 1_000


class ResolverCall:
    """A place of an operation where a resolver is called. `number` is that of its arguments."""

    def __init__(  # noqa: PLR0913, PLR0917 - what is known of the place
        self,
        executor: Executor[Any],
        parent: GraphQLObjectType,
        key: str,
        details: FieldDetailsList,
        definition: GraphQLField,
        field: StrawberryField,
        number: int,
    ) -> None:
        self.parent, self.details, self.definition, self.field = parent, details, definition, field
        self.name, self.number = details[0].node.name.value, number
        resolver: Any = field.base_resolver
        owner = resolver.parent_parameter or resolver.root_parameter
        self.is_async: bool = resolver.is_async
        self._function = resolver.wrapped_func
        self._owner = owner and owner.name
        self._info = resolver.info_parameter and resolver.info_parameter.name
        # What a resolver is told of its place; variables and context are those of the run.
        nodes, self.path = [one.node for one in details], Path(None, key, parent.name)
        schema, fragments = executor.schema, executor.fragment_definitions
        place = (self.name, nodes, definition.type, parent, self.path)
        self._before = (*place, schema, fragments, None)
        self._after = (executor.is_awaitable, executor.abort_signal, executor.async_helpers)
        self._operation = executor.operation

    def call(self, run: "ExecutionState", value: Any) -> Any:
        """What the resolver returns for the object, or an awaitable of it."""
        arguments = run.arguments[self.number].copy()
        if self._owner is not None:
            arguments[self._owner] = value
        if self._info is not None:
            arguments[self._info] = LazyInfo(self, run)
        return self._function(**arguments)

    def told(self, run: "ExecutionState") -> GraphQLResolveInfo[Any]:
        """As graphql-core tells it."""
        return GraphQLResolveInfo(
            *self._before, self._operation, run.variables, run.context, *self._after
        )


class LazyInfo(Info[Any, Any]):
    """What a resolver is told, of which most ask for the context alone."""

    def __init__(self, site: ResolverCall, run: "ExecutionState") -> None:
        self._site, self._run, self._field = site, run, site.field

    @property
    def context(self) -> Any:
        return self._run.context

    @property
    def path(self) -> Path:
        return self._site.path

    @property
    def _raw_info(self) -> GraphQLResolveInfo[Any]:  # type: ignore[override]
        return self._site.told(self._run)


Completion = Callable[[Any, "ExecutionState"], Any]


@dataclass(slots=True)
class ExecutionState:
    """One execution. `pending` are objects of the answer with a key that awaits its value."""

    context: Any
    variables: Any
    arguments: list[dict[str, Any]]
    pending: list[tuple[dict[str, Any], str, Coroutine[Any, Any, Any], Completion]] = field(
        default_factory=list
    )


@dataclass(frozen=True, slots=True)
class Root:
    """A root field. Without a site it is `__typename`."""

    key: str
    site: ResolverCall | None
    complete: Completion


@dataclass(slots=True)
class Compiled:
    """`fields` is how many are selected, at all places, with fragments wherever they are spread."""

    roots: list[Root]
    sites: list[ResolverCall]
    fields: int


def compiled(executor: Executor[Any]) -> Compiled:
    """The operation of the executor, under its variables' conditions. Raises Uncompilable."""
    return _Operation(executor).compiled()


class _Operation(Source):
    """Functions, each taking a value and the run, and giving what stands in the answer for it."""

    def __init__(self, executor: Executor[Any]) -> None:
        super().__init__()
        self._executor = executor
        self._sites: list[ResolverCall] = []
        self._fields = 0

    def compiled(self) -> Compiled:
        executor = self._executor
        kind = executor.schema.get_root_type(executor.operation.operation)
        if kind is None:
            raise Uncompilable
        found = []
        for key, details, definition in self._selected(kind, _root_fields(executor, kind)):
            site = None
            lines = [f"    return {kind.name!r}"]
            if definition is not None:
                site = self._site(kind, key, details, definition)
                if site is None:
                    raise Uncompilable
                lines = [
                    *self._completed(definition.type, "value", details, indent="    "),
                    "    return value",
                ]
            found.append((key, site, self.function("value, run", *lines)))
        names = self.executed()
        roots = [Root(key, site, names[name]) for key, site, name in found]
        return Compiled(roots, self._sites, self._fields)

    def _selected(
        self, kind: GraphQLObjectType, grouped: Any
    ) -> Iterator[tuple[str, FieldDetailsList, GraphQLField | None]]:
        """Keys with their nodes and fields; no field for `__typename`."""
        for key, details in grouped.items():
            self._fields += 1
            name = details[0].node.name.value
            if self._fields > FIELDS_MAX or any(one.defer_usage for one in details):
                raise Uncompilable
            definition = kind.fields.get(name)
            if definition is None and name != "__typename":
                raise Uncompilable
            yield key, details, definition

    def _value(self, kind: GraphQLOutputType, details: FieldDetailsList) -> str:
        """The name of a function that completes values of the type, which are not null."""
        if isinstance(kind, GraphQLList):
            return self._list(kind.of_type, details)
        if isinstance(kind, GraphQLObjectType):
            return self._object(kind, details)
        if isinstance(kind, GraphQLInterfaceType):
            return self._interface(kind, details)
        raise Uncompilable

    def _list(self, item: GraphQLOutputType, details: FieldDetailsList) -> str:
        return self.function(
            "value, run",
            "    if type(value) is not list and type(value) is not tuple:",
            "        raise ValueError",
            "    found = []",
            "    for item in value:",
            *self._completed(item, "item", details, indent="        "),
            "        found.append(item)",
            "    return found",
        )

    def _interface(self, kind: GraphQLInterfaceType, details: FieldDetailsList) -> str:
        functions = ", ".join(
            f"{self.named(one.extensions[DEFINITION].origin)}: {self._object(one, details)}"
            for one in self._executor.schema.get_possible_types(kind)
        )
        return self.function("value, run", f"    return {{{functions}}}[type(value)](value, run)")

    def _object(self, kind: GraphQLObjectType, details: FieldDetailsList) -> str:
        # Its selected fields may be printed already.
        body = [f"    if type(value) is {self.named(Fragment)}:", "        return value"]
        entries, awaited = [], []
        if kind.is_type_of is not None:
            origin = self.named(kind.extensions[DEFINITION].origin)
            body += [f"    if type(value) is not {origin}:", "        raise ValueError"]
        grouped = self._executor.collect_subfields(kind, details).grouped_field_set
        for place, (key, chosen, definition) in enumerate(self._selected(kind, grouped)):
            if definition is None:
                entries.append(f"{key!r}: {kind.name!r}")
                continue
            local = f"v{place}"
            site = self._site(kind, key, chosen, definition)
            read = f"value.{definition.extensions[DEFINITION].python_name}"
            if site is not None:
                read = f"{self.named(site.call)}(run, value)"
            if site is not None and site.is_async:
                lines = self._completed(definition.type, "value", chosen, indent="    ")
                complete = self.function("value, run", *lines, "    return value")
                # Last, so that whatever is odd before leaves nothing that nobody awaits.
                awaited.append(f"    run.pending.append((found, {key!r}, {read}, {complete}))")
                entries.append(f"{key!r}: None")
            else:
                body.append(f"    {local} = {read}")
                body += self._completed(definition.type, local, chosen, indent="    ")
                entries.append(f"{key!r}: {local}")
        body.append(f"    found = {{{', '.join(entries)}}}")
        return self.function("value, run", *body, *awaited, "    return found")

    def _site(
        self,
        parent: GraphQLObjectType,
        key: str,
        details: FieldDetailsList,
        definition: GraphQLField,
    ) -> ResolverCall | None:
        """None for a field that is an attribute."""
        found = definition.extensions.get(DEFINITION)
        if not isinstance(found, StrawberryField) or wraps_resolver(found):
            raise Uncompilable
        if found.base_resolver is None:
            return None
        if found.base_resolver.self_parameter is not None:
            raise Uncompilable
        number = len(self._sites)
        site = ResolverCall(self._executor, parent, key, details, definition, found, number)
        self._sites.append(site)
        return site

    def _completed(
        self, kind: GraphQLOutputType, local: str, details: FieldDetailsList, *, indent: str
    ) -> list[str]:
        """Lines that put what stands in the answer into `local`."""
        is_nullable = not isinstance(kind, GraphQLNonNull)
        lines = self._present(cast("GraphQLOutputType", get_nullable_type(kind)), local, details)
        return null_guard(lines, local, is_nullable=is_nullable, indent=indent)

    def _present(self, kind: GraphQLOutputType, local: str, details: FieldDetailsList) -> list[str]:
        """The same for a value that has to be there."""
        if isinstance(kind, GraphQLEnumType):
            return self._enum(kind, local)
        if not isinstance(kind, GraphQLScalarType):
            return [f"{local} = {self._value(kind, details)}({local}, run)"]
        check = leaf_check(kind, local) if is_specified_scalar_type(kind) else None
        if check is not None:
            return check
        return [
            f"{local} = {self.named(kind.coerce_output_value)}({local})",
            f"if {local} is None or {local} is {self.named(Undefined)}:",
            "    raise ValueError",
        ]

    def _enum(self, kind: GraphQLEnumType, local: str) -> list[str]:
        members = getattr(kind, "wrapped_cls", None)
        if members is None:
            raise Uncompilable
        names = {members(one.value): name for name, one in kind.values.items()}
        return [
            f"if type({local}) is not {self.named(members)}:",
            "    raise ValueError",
            f"{local} = {self.named(names)}[{local}]",
        ]


def _root_fields(executor: Executor[Any], kind: GraphQLObjectType) -> Any:
    """Keys of the answer with the nodes that select them."""
    fragments, variables = executor.fragments, executor.variable_values
    return collect_fields(
        executor.schema, fragments, variables, kind, executor.operation
    ).grouped_field_set
