"""Operations, and the plans by which they are executed.

These classes have no generated `repr`: tracebacks would show the whole schema with them.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import structlog
from graphql import DocumentNode, OperationDefinitionNode
from strawberry.types.graphql import OperationType

from persistence.fast.json_rendering import JsonSql
from schema.compiled.argument_compiler import ReadArguments
from schema.compiled.resolver_calls import Complete, ResolverCall
from schema.limits.rate_limit import Charge

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True, repr=False)
class RootField:
    """A root field of an operation; `__typename` has no resolver to call."""

    key: str
    call: ResolverCall | None
    complete: Complete


@dataclass(slots=True, repr=False)
class Plan:
    """Code for an operation under certain Boolean values.

    `json_projections` are SQL expressions by the keys of root fields. `fields` is the number of
    selected fields.
    """

    roots: list[RootField]
    read_arguments: ReadArguments
    json_projections: Mapping[str, JsonSql]
    fields: int
    is_failure_logged: bool = False

    def log_failure(self, error: Exception) -> None:
        """Log the first exception in generated code; graphql-core answers these requests."""
        if not self.is_failure_logged:
            self.is_failure_logged = True
            log.warning("generated_code_failed", exc_info=error)


@dataclass(slots=True, repr=False)
class Operation:
    """A valid operation. `boolean_variables` are the names that `@skip` and `@include` can use.

    `plans` are by the values of these variables; None where no code can be generated.
    """

    text: str
    document: DocumentNode
    name: str | None
    node: OperationDefinitionNode
    kind: OperationType
    charge: Charge | None
    boolean_variables: tuple[str, ...]
    plans: dict[tuple[Any, ...], Plan | None] = field(default_factory=dict)
