"""Operations generated from the schema, sent by anonymous callers and by an owner."""

import re

import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis_graphql import nodes

from domain.auth.roles import Role
from schema import schema as own_schema
from tests import factories
from tests.accounts import bearer_headers
from tests.graphql_client import data, execute
from tests.hostile.response_checks import check

EXAMPLES = 5
EXAMPLES_OF_THE_SLOW_RUN = 40
SCALARS = (
    "PhoneNumber EmailAddress JerseyNumber DateText PlayerRoleInput JSON IssuePath Date DateTime"
).split()
LEAF = st.one_of(
    st.text(max_size=20).map(nodes.String),
    st.integers(-(2**40), 2**40).map(nodes.Int),
    st.booleans().map(nodes.Boolean),
    st.sampled_from(
        ["+919876543210", "a@example.org", "2001-02-03", "BOWLER", "2026-11-23T09:30:00Z"]
    ).map(nodes.String),
)
# These ask for what there is.
REAL = {
    "teamId": '"ICCT-001"',
    "id": '"ICCT-001"',
    "code": '"ICCT-001"',
    "playerId": '"ICCT-001-P01"',
    "expectedVersion": "1",
}
_NAMED = re.compile(rf"\b({'|'.join(REAL)}): [^\s,)}}]+")


def generated(examples: int) -> list[str]:
    """Generate documents for each root field, always the same ones."""
    for name in SCALARS:
        schemathesis.graphql.scalar(name, LEAF)
    documents: list[str] = []
    for found in schemathesis.graphql.from_file(own_schema.as_str()).get_all_operations():
        operation = found.ok()

        @settings(
            max_examples=examples,
            database=None,
            derandomize=True,
            deadline=None,
            suppress_health_check=list(HealthCheck),
        )
        @given(operation.as_strategy())
        def collect(case) -> None:
            documents.append(case.body)

        collect()
    return documents


@pytest.fixture(
    scope="module",
    params=[EXAMPLES, pytest.param(EXAMPLES_OF_THE_SLOW_RUN, marks=pytest.mark.slow)],
)
def documents(request) -> list[str]:
    return generated(request.param)


def meant(document: str) -> str:
    """Return the document with references to the team that exists."""
    return _NAMED.sub(lambda match: f"{match[1]}: {REAL[match[1]]}", document)


async def test_generated_operations_of_anonymous_callers_never_fail(client, documents):
    data(await execute(client, factories.REGISTER, {"input": factories.team(1)}))

    assert len(documents) > 150
    for document in documents:
        check(await execute(client, document))


async def test_generated_operations_of_an_owner_never_fail(client, services, documents):
    data(await execute(client, factories.REGISTER, {"input": factories.team(1)}))
    owner = await bearer_headers(services, Role.OWNER)
    skipped = ("signOut", "revokeSession", "setOrganiserRole")

    for document in documents:
        if not any(name in document for name in skipped):
            check(await execute(client, document, **owner))
            check(await execute(client, meant(document), **owner))
