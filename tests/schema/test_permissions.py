"""Fields that are not public refuse anonymous callers and lower roles."""

import re

import pytest
from graphql import GraphQLInputObjectType, GraphQLList, GraphQLNonNull, is_composite_type
from graphql.type.definition import GraphQLEnumType

from domain.auth.roles import Role
from schema import schema
from tests.accounts import bearer_headers
from tests.graphql_client import error_extensions, execute

CAPTAINS = {"myTeam", "updateMyTeam", "resubmitMyTeam", "withdrawMyTeam"}
ROLE = re.compile(r"Needs the role (OWNER|REVIEWER|VIEWER)")
PUBLIC = {
    "health",
    "tournament",
    "registrationRules",
    "churches",
    "validateTeam",
    "errorCatalog",
    "openUpload",
    "registerTeam",
    "signIn",
    "signOut",
    "acceptInvitation",
}
VALUES = {"Int": "1", "Boolean": "true", "Float": "1.0", "ID": '"ICCT-001"'}


def literal(kind) -> str:
    """Return a minimal literal of the type."""
    if isinstance(kind, GraphQLNonNull):
        return literal(kind.of_type)
    if isinstance(kind, GraphQLList):
        return f"[{literal(kind.of_type)}]"
    if isinstance(kind, GraphQLEnumType):
        return next(iter(kind.values))
    if isinstance(kind, GraphQLInputObjectType):
        needed = {n: f.type for n, f in kind.fields.items() if isinstance(f.type, GraphQLNonNull)}
        return "{" + ", ".join(f"{name}: {literal(one)}" for name, one in needed.items()) + "}"
    return VALUES.get(kind.name, '"text of a test"')


def call(name: str, field) -> str:
    arguments = [f"{n}: {literal(a.type)}" for n, a in field.args.items()]
    given = f"({', '.join(arguments)})" if arguments else ""
    kind = field.type
    while hasattr(kind, "of_type"):
        kind = kind.of_type
    return f"{name}{given}" + (" { __typename }" if is_composite_type(kind) else "")


def roots() -> list[tuple[str, str, str | None]]:
    """Yield an operation for each root field, with the role in its description."""
    native = schema._schema
    found = []
    for kind, root in (("query", native.query_type), ("mutation", native.mutation_type)):
        for name, field in root.fields.items():
            role = ROLE.search(field.description)
            found.append((name, f"{kind} {{ {call(name, field)} }}", role[1] if role else None))
    return found


ROOTS = roots()
GUARDED = [(query, Role(role)) for _, query, role in ROOTS if role]
IDS = [name for name, _, role in ROOTS if role]


def test_every_root_field_is_public_or_names_its_role():
    assert {name for name, _, role in ROOTS if role is None} == PUBLIC | CAPTAINS


@pytest.mark.parametrize(
    "query",
    [query for name, query, _ in ROOTS if name in CAPTAINS],
    ids=[name for name, _, _ in ROOTS if name in CAPTAINS],
)
async def test_captain_fields_need_the_manage_token(client, services, query):
    stranger = await execute(client, query)
    owner = await execute(client, query, **await bearer_headers(services, Role.OWNER))

    assert error_extensions(stranger)["code"] == "UNAUTHENTICATED"
    assert error_extensions(owner)["code"] == "UNAUTHENTICATED"


@pytest.mark.parametrize(("query", "role"), GUARDED, ids=IDS)
async def test_anonymous_callers_are_refused(client, query, role):
    assert error_extensions(await execute(client, query))["code"] == "UNAUTHENTICATED"


@pytest.mark.parametrize(
    ("query", "role"),
    [(query, role) for query, role in GUARDED if role != Role.VIEWER],
    ids=[name for name, (_, role) in zip(IDS, GUARDED, strict=True) if role != Role.VIEWER],
)
async def test_lower_roles_are_refused(client, services, query, role):
    lower = list(Role)[list(Role).index(role) + 1]

    answer = await execute(client, query, **await bearer_headers(services, lower))

    assert error_extensions(answer)["code"] == "FORBIDDEN"
