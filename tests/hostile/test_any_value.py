"""Any value at any leaf of an operation gets data or an error code; errors change nothing."""

import json
from collections.abc import Iterator
from itertools import count
from typing import Any

import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from structlog.testing import capture_logs

from domain.auth.roles import Role
from persistence.models import metadata
from tests import factories
from tests.accounts import bearer_headers
from tests.graphql_client import check_envelope, data, execute
from tests.hostile.odd_texts import odd_texts
from tests.hostile.schema_calls import (
    ANYTHING,
    LONG,
    LONGEST_MARKS,
    MOMENTS,
    TEXTS,
    Call,
    Path,
    calls,
    values_of,
)
from tests.schema.test_permissions import CAPTAINS, PUBLIC

# How many values each place is tried with in an ordinary run; all of them in the slow one.
VALUES_OF_A_PLACE = 4
# When credentials were used last is put down, whatever is asked with them.
TOUCHED = {"organiser_session", "api_token"}
CALLS = calls()
PLACES = [(call, path) for call in CALLS for path in call.leaves]
_ROWS = " UNION ALL ".join(
    f"SELECT '{name}' AS name, count(*), md5(string_agg(xmin || ' ' || ctid, ' ' ORDER BY ctid))"
    f" FROM {name}"
    for name in metadata.tables
    if name not in TOUCHED
)


# The latter is answered all the same, by graphql-core.
DEFECTS = {"unexpected_exception", "generated_code_failed"}


class Asked:
    """The application, its callers, and access to its database."""

    def __init__(self, client, sql, callers: dict[str, dict[str, str]]) -> None:
        self._client = client
        self._sql = sql
        self._callers = callers

    async def rows(self) -> list[Any]:
        """Return the number of rows of each table, and a hash of their versions."""
        return list(await self._sql.fetch(_ROWS))

    async def check(self, call: Call, path: Path, value: Any, who: str) -> set[str]:
        """Return the error codes of a response; empty for data."""
        before = await self.rows() if call.is_mutation else []
        with capture_logs() as written:
            variables = call.with_value(path, value)
            answer = await execute(self._client, call.document, variables, **self._callers[who])
        told = f"{call.name} {path} {ascii(value)[:80]} {who}: {answer.text[:300]}"
        codes = codes_of(answer, told)
        assert DEFECTS.isdisjoint(line["event"] for line in written), told
        if call.is_mutation and codes:
            assert await self.rows() == before, told
        elif call.is_mutation:
            await self._put_back()
        return codes

    async def send(self, call: Call) -> None:
        """Send the call with its valid variables."""
        variables = {"code": "ICCT-001"} if call.name == "team" else call.variables
        await execute(self._client, call.document, variables, **self._callers[who_may(call)])
        await self._put_back()

    async def _put_back(self) -> None:
        """Restore the team, so that the next call is not refused for its version."""
        await self._sql.execute("""
            UPDATE team SET version = 1, status = 'PENDING';
            UPDATE church c SET taken = (SELECT count(*) FROM team t WHERE t.church_id = c.id);
            UPDATE tournament SET taken = (SELECT count(*) FROM team)
        """)


def codes_of(answer: httpx.Response, told: str) -> set[str]:
    """Return the codes of errors after checking their envelopes; none is INTERNAL."""
    assert answer.status_code < 500, told
    body = answer.json()
    if "errors" not in body:
        return set()
    check_envelope(body)
    codes = {error["extensions"]["code"] for error in body["errors"]}
    assert "INTERNAL" not in codes, told
    return codes


@pytest.fixture
async def asked(client, services, sql) -> Asked:
    registered = data(await execute(client, factories.REGISTER, {"input": factories.team(1)}))[
        "registerTeam"
    ]
    callers = {
        "owner": await bearer_headers(services, Role.OWNER),
        "captain": {"Authorization": f"Bearer {registered['manageToken']}"},
        "anonymous": {},
    }
    return Asked(client, sql, callers)


def who_may(call: Call) -> str:
    """Return the caller with sufficient rights."""
    if call.name in CAPTAINS:
        return "captain"
    return "anonymous" if call.name in PUBLIC else "owner"


def few_of_each() -> Iterator[tuple[Call, Path, Any]]:
    """Return different values for each leaf, so that each value is tried at many leaves."""
    begin = count(step=VALUES_OF_A_PLACE)
    for call, path in PLACES:
        values, start = values_of(call.leaves[path]), next(begin)
        for number in range(start, start + VALUES_OF_A_PLACE):
            yield call, path, values[number % len(values)]


async def test_valid_calls_never_fail_in_generated_code(asked):
    # The first execution of a call is interpreted, later ones are compiled.
    for call in sorted(CALLS, key=lambda call: call.name == "signOut"):
        with capture_logs() as written:
            for _ in range(3):
                await asked.send(call)

        assert DEFECTS.isdisjoint(line["event"] for line in written), (call.name, written)


def test_calls_cover_every_root_field():
    assert {call.name for call in CALLS} >= PUBLIC | CAPTAINS | {"updateTournament", "teams"}
    assert len(CALLS) > 45
    assert len(PLACES) > 120
    assert {kind for call in CALLS for kind in call.leaves.values()} >= {"DateTime", "ID", "String"}


async def test_valid_input_is_within_all_limits(asked):
    for call in CALLS:
        if not call.leaves:
            continue
        path = next(iter(call.leaves))
        place: Any = call.variables
        for step in path:
            place = place[step]
        codes = await asked.check(call, path, place, "owner")
        assert not codes & {"QUERY_TOO_COMPLEX", "GRAPHQL_VALIDATION_FAILED"}, call.name


async def test_some_values_at_each_leaf_are_answered_or_refused(asked):
    for call, path, value in few_of_each():
        await asked.check(call, path, value, who_may(call))


async def test_hostile_values_of_unauthorized_callers_change_nothing(asked):
    for number, (call, path, value) in enumerate(few_of_each()):
        if number % (2 * VALUES_OF_A_PLACE) < 1:
            for who in ("anonymous", "captain"):
                await asked.check(call, path, value, who)


@pytest.mark.slow
@pytest.mark.parametrize("who", ["owner", "captain", "anonymous"])
async def test_all_values_at_each_leaf_are_answered_or_refused(asked, who):
    for call, path in PLACES:
        for value in (*values_of(call.leaves[path]), *LONG, *LONGEST_MARKS):
            await asked.check(call, path, value, who)


@pytest.mark.slow
async def test_any_authorization_header_is_answered_or_refused(client, asked):
    for call in CALLS:
        for number, text in enumerate(odd_texts("ics_" + "a" * 43)):
            written = text.encode("utf-8", "surrogatepass")
            if number % 4 or len(written) > 20_000 or any(item in written for item in b"\0\r\n"):
                continue
            for header, value in (
                ("Authorization", b"Bearer " + written),
                ("Cookie", b"__Host-icct26=" + written),
            ):
                before = await asked.rows()
                answer = await client.post(
                    "/graphql",
                    content=json.dumps({"query": call.document, "variables": call.variables}),
                    headers={"Content-Type": "application/json", header: value},
                )
                codes = codes_of(answer, f"{call.name} {header} {text!a}")
                assert not call.is_mutation or not codes or await asked.rows() == before


VALUE = st.one_of(
    st.text(max_size=40),
    st.text(st.characters(categories=["Cs", "Cc", "Cf", "Mn", "Cn", "Co"]), max_size=40),
    st.sampled_from([*TEXTS, *MOMENTS]),
    st.sampled_from(ANYTHING),
    st.datetimes().map(lambda moment: moment.isoformat() + "Z"),
    st.tuples(st.characters(), st.integers(1, 3_000)).map(lambda pair: pair[0] * pair[1]),
)


def generated(examples: int) -> list[tuple[int, Any]]:
    """Generate leaves with values, always the same ones."""
    found: list[tuple[int, Any]] = []

    @settings(
        max_examples=examples,
        database=None,
        derandomize=True,
        deadline=None,
        suppress_health_check=list(HealthCheck),
    )
    @given(st.integers(0, len(PLACES) - 1), VALUE)
    def collect(place: int, value: Any) -> None:
        found.append((place, value))

    collect()
    return found


@pytest.mark.parametrize("examples", [100, pytest.param(5_000, marks=pytest.mark.slow)])
async def test_generated_values_are_answered_or_refused(asked, examples):
    for place, value in generated(examples):
        call, path = PLACES[place]
        await asked.check(call, path, value, who_may(call))
