"""Every field that needs a role, with every role, as the schema's own descriptions say."""

import re
from uuid import UUID

import pytest
from graphql import (
    GraphQLEnumType,
    GraphQLInputObjectType,
    GraphQLList,
    GraphQLNonNull,
    build_schema,
    get_named_type,
    is_leaf_type,
    print_ast,
)
from graphql.utilities import ast_from_value

from domain.roles import Role
from schema.snapshot import printed
from tests.asking import ask, refused
from tests.signing_in import bearer

SCHEMA = build_schema(printed())
ROOTS = {"query": SCHEMA.query_type, "mutation": SCHEMA.mutation_type}
NEEDS = re.compile(r"Needs the role (OWNER|REVIEWER|VIEWER)\b")
SOME_ID = UUID(int=7).hex
SOME = {"String": "text of the test", "ID": SOME_ID, "Int": 1, "Boolean": True, "Float": 1.0}


def role_of(field) -> Role | None:
    found = NEEDS.search(field.description)
    return Role(found[1]) if found else None


FIELDS = {
    (operation, name): role_of(field)
    for operation, root in ROOTS.items()
    for name, field in root.fields.items()
}
PROTECTED = {place: role for place, role in FIELDS.items() if role is not None}


def value_of(wanted):
    """Something of the type that has what must be there and nothing else."""
    if isinstance(wanted, GraphQLNonNull):
        return value_of(wanted.of_type)
    if isinstance(wanted, GraphQLList):
        return [value_of(wanted.of_type)]
    if isinstance(wanted, GraphQLInputObjectType):
        return {
            name: value_of(field.type)
            for name, field in wanted.fields.items()
            if isinstance(field.type, GraphQLNonNull)
        }
    if isinstance(wanted, GraphQLEnumType):
        return list(wanted.values.values())[-1].value
    return SOME.get(wanted.name, "text of the test")


def document(operation: str, name: str) -> str:
    """The field with all it requires, and `__typename` of what it gives."""
    field = ROOTS[operation].fields[name]
    arguments = ", ".join(
        f"{argument}: {print_ast(ast_from_value(value_of(definition.type), definition.type))}"
        for argument, definition in field.args.items()
        if isinstance(definition.type, GraphQLNonNull)
    )
    selection = "" if is_leaf_type(get_named_type(field.type)) else " { __typename }"
    return f"{operation} {{ {name}{f'({arguments})' if arguments else ''}{selection} }}"


async def rows(sql) -> dict[str, int]:
    tables = "organiser organiser_session api_token recovery_code team audit_event".split()
    return {table: await sql.fetchval(f"SELECT count(*) FROM {table}") for table in tables}


@pytest.mark.parametrize("place", FIELDS, ids=".".join)
def test_a_field_says_whether_it_is_public_or_which_role_it_needs(place):
    operation, name = place

    description = ROOTS[operation].fields[name].description

    assert ("Public" in description) is (FIELDS[place] is None)


@pytest.mark.parametrize("place", PROTECTED, ids=".".join)
async def test_without_a_token_it_is_refused(client, sql, place):
    before = await rows(sql)

    answer = await ask(client, document(*place))

    assert refused(answer)["code"] == "UNAUTHENTICATED"
    assert await rows(sql) == before


@pytest.mark.parametrize(
    ("place", "role"),
    [
        (place, role)
        for place, needed in PROTECTED.items()
        for role in Role
        if not role.at_least(needed)
    ],
    ids=str,
)
async def test_with_too_low_a_role_it_is_refused(client, services, sql, place, role):
    headers = await bearer(services, role)
    before = await rows(sql)

    answer = await ask(client, document(*place), **headers)

    assert refused(answer)["code"] == "FORBIDDEN"
    assert answer.json()["errors"][0]["message"] == "The role does not allow this."
    assert await rows(sql) == before


@pytest.mark.parametrize(
    ("place", "role"),
    [
        (place, role)
        for place, needed in PROTECTED.items()
        for role in Role
        if role.at_least(needed)
    ],
    ids=str,
)
async def test_with_the_role_it_is_let_through(client, services, place, role):
    headers = await bearer(services, role)

    answer = await ask(client, document(*place), **headers)

    messages = {error["message"] for error in answer.json().get("errors", ())}
    assert not messages & {"The role does not allow this.", "Signing in is needed."}
