"""Operations that were executed before, with the code compiled for them."""

from collections.abc import Mapping
from typing import Any

from graphql import (
    DocumentNode,
    Executor,
    OperationDefinitionNode,
    get_operation_ast,
    print_ast,
)
from strawberry import Schema
from strawberry.types.graphql import OperationType

from domain.errors.base import DomainError
from resilience.byte_bounded_cache import ByteBoundedCache
from schema.compiled.argument_compiler import (
    InvalidVariables,
    coerce_variables,
    compile_arguments,
)
from schema.compiled.bound_operation import BoundOperation
from schema.compiled.codegen import CannotCompile
from schema.compiled.plan import Operation, Plan
from schema.compiled.selection_compiler import compile_operation
from schema.compiled.sql_json import json_projections
from schema.limits.document_cache import (
    CHARACTER_BYTES,
    FIELD_BYTES,
    MAX_OPERATIONS_BYTES,
    PLAN_BYTES,
)
from schema.limits.rate_limit import operation_charge

MAX_CHARACTERS = 10_000
"""Longer documents are always executed by graphql-core."""

MAX_PLANS = 16
"""Plans of one operation, for different values of its Boolean variables."""


class PlanCache:
    """The least recently used operations of a schema are dropped."""

    def __init__(self, schema: Schema) -> None:
        self._schema = schema
        self._core = schema._schema  # noqa: SLF001 - as Strawberry's own extensions
        self.operations = ByteBoundedCache(MAX_OPERATIONS_BYTES, _operation_bytes)

    def lookup(self, text: str, name: str | None) -> Operation | None:
        return self.operations.get((text, name))

    def remember(self, text: str, name: str | None, document: DocumentNode) -> None:
        """Note a valid operation, so that it is compiled if it is sent again."""
        node = get_operation_ast(document, name)
        if node is None or len(text) > MAX_CHARACTERS:
            return
        kind, charge = OperationType(node.operation.value), operation_charge(document, node)
        operation = Operation(text, document, name, node, kind, charge, _boolean_variables(node))
        self.operations[text, name] = operation

    def bind(self, operation: Operation, variables: Mapping[str, Any]) -> BoundOperation | None:
        """Return the operation with these variables; None if graphql-core has to execute it.

        Generated code raises ValueError for values that graphql-core refuses or converts, such as
        a number for an ID or one item for a list.
        """
        plan = None
        try:
            plan = self._plan(operation, variables)
            if plan is None:
                return None
            arguments = plan.read_arguments(variables)
        except (DomainError, InvalidVariables, ValueError):
            return None
        except Exception as error:  # noqa: BLE001 - graphql-core reports invalid variables
            if plan and coerce_variables(self._core, operation.node, variables) is not None:
                plan.log_failure(error)
            return None
        return BoundOperation(self._core, operation, plan, variables, arguments)

    def _plan(self, operation: Operation, variables: Mapping[str, Any]) -> Plan | None:
        """Return the plan for the values of the Boolean variables, compiled if it is missing.

        Raises InvalidVariables, and TypeError for values that are no JSON scalars.
        """
        # Null and missing values have plans of their own.
        values = tuple(variables.get(name, ...) for name in operation.boolean_variables)
        if values not in operation.plans:
            if len(operation.plans) >= MAX_PLANS:
                operation.plans.clear()
            operation.plans[values] = self._compile(operation, dict(variables))
            # Assigned again because its size has changed.
            self.operations[operation.text, operation.name] = operation
        return operation.plans[values]

    def _compile(self, operation: Operation, variables: dict[str, Any]) -> Plan | None:
        document, name = operation.document, operation.name
        executor = Executor.build(
            self._core, document, raw_variable_values=variables, operation_name=name
        )
        if isinstance(executor, list):
            raise InvalidVariables
        try:
            roots, calls, fields = compile_operation(executor)
            read_arguments = compile_arguments(executor, calls, self._schema.schema_converter)
        except CannotCompile:
            return None
        return Plan(roots, read_arguments, dict(json_projections(executor, roots)), fields)


def _operation_bytes(key: tuple[str, str | None], operation: Operation) -> int:
    """Estimate the size of an operation with its document and its plans."""
    counts = (plan.fields for plan in operation.plans.values() if plan is not None)
    return len(key[0]) * CHARACTER_BYTES + sum(PLAN_BYTES + count * FIELD_BYTES for count in counts)


def _boolean_variables(operation: OperationDefinitionNode) -> tuple[str, ...]:
    """Return the names of variables that `@skip` and `@include` can use."""
    return tuple(
        definition.variable.name.value
        for definition in operation.variable_definitions or ()
        if print_ast(definition.type) in {"Boolean", "Boolean!"}
    )
