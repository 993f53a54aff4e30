"""Compiled execution returns the same data, errors, paths and order as graphql-core."""

import asyncio
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime
from enum import Enum
from typing import Any
from uuid import UUID

import pytest
import strawberry
from graphql import print_schema
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from hypothesis_graphql import nodes, queries
from strawberry.schema.config import StrawberryConfig
from structlog.testing import capture_logs

from domain.documents import DocumentFormat, DocumentKind, DocumentReview
from domain.registration.forms import PlayerRole, ValidPerson
from domain.teams.status import TeamStatus
from persistence.records import ChurchRecord, DocumentRecord, PlayerRecord, TeamRecord
from schema.compiled import selection_compiler as compile_module
from schema.compiled.executor import CompiledExecution, CompiledSchema
from schema.context import ExecutionOptions
from schema.limits.document_cache import MAX_OPERATIONS_BYTES
from schema.node import Node
from schema.pagination import Connection, CursorCodec, PageInfo
from schema.scalars import SCALARS
from schema.teams.types import Player, Team
from tests.schema.executions import errors_of, executions, ordered

KEYS = CursorCodec("team.test", int)
NOW = datetime(2026, 11, 23, 9, 30, tzinfo=UTC)
ODD = st.one_of(
    st.none(),
    st.integers(-(2**33), 2**33),
    st.booleans(),
    st.text(max_size=5),
    st.floats(),
    st.just(ValueError("odd")),
    st.just(object()),
    st.lists(st.none() | st.text(max_size=3), max_size=2),
)
TEXTS = st.sampled_from(["", "Anand", "ஆனந்த் ராஜ்", '"quoted\\"', "line\nline", "\u2028", "a'b{0}"])


@dataclass
class Running:
    """The context of resolvers."""

    execution: ExecutionOptions
    roots: dict[str, Any]
    operation_name: str | None = None
    json_projections: dict[str, Any] = field(default_factory=dict)


def _root(name: str):
    def resolve(info: strawberry.Info) -> Any:
        return info.context.roots[name]

    resolve.__name__ = name
    return resolve


@strawberry.type
class Query:
    team: Team | None = strawberry.field(resolver=_root("team"), graphql_type=Team | None)
    teams: Connection[Team] = strawberry.field(
        resolver=_root("teams"), graphql_type=Connection[Team]
    )
    squads: list[Team | None] | None = strawberry.field(
        resolver=_root("squads"), graphql_type=list[Team | None] | None
    )
    node: Node | None = strawberry.field(resolver=_root("node"), graphql_type=Node | None)


SCHEMA = CompiledSchema(
    query=Query,
    types=[Team, Player],
    extensions=[CompiledExecution],
    config=StrawberryConfig(scalar_map=SCALARS),
)
SDL = print_schema(SCHEMA._schema)
# What the generator is told to write for scalars of our own; no argument is given here.
CUSTOM = {name: st.just(nodes.String("x")) for name in ("JSON", "IssuePath", "DateTime", "Date")}


def team_record() -> TeamRecord:
    document = DocumentRecord(
        id=UUID(int=3),
        kind=next(iter(DocumentKind)),
        format=next(iter(DocumentFormat)),
        byte_size=12,
        review=DocumentReview.PENDING,
        created_at=NOW,
        store="folder",
        storage_name="x",
        folder="y",
    )
    person = ValidPerson(
        name="Anand", phone="+919876543210", whatsapp="+919876543210", email="a@example.org"
    )
    players = tuple(
        PlayerRecord(
            id=UUID(int=10 + place),
            position=place,
            name=f"Player {place}",
            role=PlayerRole.BOWLER if place % 2 else None,
            jersey_number=place if place % 3 else None,
            date_of_birth=date(2000, 1, place) if place % 2 else None,
            documents=(document,) if place == 1 else (),
        )
        for place in range(1, 4)
    )
    return TeamRecord(
        id=UUID(int=1),
        code="ICCT-001",
        name="Warriors",
        status=TeamStatus.PENDING,
        version=1,
        manage_generation=1,
        registered_at=NOW,
        updated_at=NOW,
        church=ChurchRecord(id=UUID(int=2), name="CSI", taken=1, limit=2),
        captain=person,
        vice_captain=person,
        players=players,
        documents=(document,),
    )


def _changed(draw: Any, thing: Any, *, odds: int) -> None:
    """Replace some attributes by odd values and some texts by others, at any depth."""
    for name in [*vars(thing)]:
        value = getattr(thing, name)
        if name in {"record", "owner", "count"}:
            continue
        if draw(st.integers(1, odds)) == 1:
            setattr(thing, name, draw(ODD))
        elif type(value) is str:
            setattr(thing, name, draw(TEXTS))
        elif isinstance(value, list):
            for item in value:
                _changed(draw, item, odds=odds)
        elif hasattr(value, "__strawberry_definition__") and not isinstance(value, Enum):
            _changed(draw, value, odds=odds)


async def _count() -> int:
    return 7


@st.composite
def roots(draw) -> dict[str, Any]:
    odds = draw(st.sampled_from([10**6, 200, 30, 8]))
    made = [
        Team.from_record(replace(team_record(), version=n)) for n in range(draw(st.integers(0, 3)))
    ]
    for item in made:
        _changed(draw, item, odds=odds)
    page = Connection(
        codec=KEYS,
        cursor_keys=[(place,) for place in range(len(made))],
        nodes=made,
        page_info=PageInfo(
            has_next_page=False, has_previous_page=True, start_cursor=None, end_cursor="e"
        ),
        count=_count,
    )
    _changed(draw, page.page_info, odds=odds)
    first = made[0] if made else None
    return {
        "team": first if draw(st.integers(1, odds)) > 1 else draw(ODD),
        "teams": page,
        "squads": draw(st.sampled_from([made, tuple(made), [*made, None], None])),
        "node": first.players[0]
        if first and type(first.players) is list and first.players
        else first,
    }


def run(query: str, roots: dict[str, Any], *, compiled: bool, variables=None) -> tuple[Any, Any]:
    result = asyncio.run(
        SCHEMA.execute(
            query,
            variable_values=variables,
            context_value=Running(ExecutionOptions(compiled=compiled, rendered=False), roots),
        )
    )
    return result.data, errors_of(result.errors)


SELECTED = queries(SDL, custom_scalars=CUSTOM, fields=["team", "teams", "squads", "node"])
# These read the database, which is not here.
READING = ("history", "playersElsewhere")
PAGE = """
query Page($withPlayers: Boolean = true) {
  teams { nodes { code captain { ...who } players @include(if: $withPlayers) { name role } } }
}
fragment who on Person { name phone }
"""


def generated(max_examples: int):
    """Generate operations with the results of their root resolvers."""
    bounds = settings(
        max_examples=max_examples, deadline=None, suppress_health_check=list(HealthCheck)
    )
    return lambda test: bounds(given(query=SELECTED, roots=roots())(test))


@generated(100)
def test_generated_operations_have_equal_answers(query, roots):
    compare(query, roots)


@pytest.mark.slow
@generated(5_000)
def test_thousands_of_generated_operations_have_equal_answers(query, roots):
    compare(query, roots)


def compare(query: str, roots: dict[str, Any]) -> None:
    assume(not any(name in query for name in READING))

    expected = run(query, roots, compiled=False)
    # To render tracebacks of odd values would take most of the time.
    with capture_logs():
        first = run(query, roots, compiled=True)
        second = run(query, roots, compiled=True)

    assert ordered(first[0]) == ordered(expected[0])
    assert first[1] == expected[1]
    assert ordered(second[0]) == ordered(expected[0])
    assert second[1] == expected[1]


def test_most_generated_operations_are_compiled():
    counts = {True: 0, False: 0}

    @settings(max_examples=200, deadline=None, suppress_health_check=list(HealthCheck))
    @given(query=SELECTED)
    def count(query):
        assume(not any(name in query for name in READING))
        run(query, plain_roots(), compiled=True)
        before = executions("interpreted"), executions("reexecuted")
        run(query, plain_roots(), compiled=True)
        counts[(executions("interpreted"), executions("reexecuted")) == before] += 1

    count()

    assert counts[True] >= 0.95 * sum(counts.values()) > 0


def plain_roots() -> dict[str, Any]:
    team = Team.from_record(team_record())
    info = PageInfo(has_next_page=False, has_previous_page=True, start_cursor="a", end_cursor="b")
    page = Connection(nodes=[team], page_info=info, codec=KEYS, cursor_keys=[(1,)], count=_count)
    return {"team": team, "teams": page, "squads": [team, None], "node": team.players[0]}


def test_async_resolvers_are_compiled():
    query = PAGE.replace("nodes", "totalCount nodes", 1)
    run(query, plain_roots(), compiled=True)
    before = executions("compiled"), executions("reexecuted")

    data, errors = run(query, plain_roots(), compiled=True)

    assert errors == []
    assert data["teams"]["totalCount"] == 7
    assert (executions("compiled"), executions("reexecuted")) == (before[0] + 1, before[1])


@pytest.mark.parametrize("wanted", [True, False])
def test_each_value_of_a_condition_has_its_own_plan(wanted):
    variables = {"withPlayers": wanted}
    run(PAGE, plain_roots(), compiled=True, variables=variables)
    before = executions("compiled")

    data, errors = run(PAGE, plain_roots(), compiled=True, variables=variables)

    assert errors == []
    assert ("players" in data["teams"]["nodes"][0]) == wanted
    assert executions("compiled") == before + 1


def test_null_in_a_non_null_field_is_reported_by_graphql_core():
    roots = plain_roots()
    roots["team"].players[1].name = None
    query = "{ team { players { name } } }"
    run(query, plain_roots(), compiled=True)
    before = executions("reexecuted")

    data, errors = run(query, roots, compiled=True)

    assert data == {"team": None}
    assert [(message, path) for message, path, _ in errors] == [
        ("Cannot return null for non-nullable field Player.name.", ["team", "players", 1, "name"])
    ]
    assert executions("reexecuted") > before


def test_disabled_compilation_leaves_execution_to_graphql_core():
    before = [executions(how) for how in ("compiled", "interpreted", "reexecuted")]

    data, _ = run(PAGE, plain_roots(), compiled=False)

    assert data["teams"]["nodes"][0]["code"] == "ICCT-001"
    after = [executions(how) for how in ("compiled", "interpreted", "reexecuted")]
    assert after == [before[0], before[1] + 1, before[2]]


def test_plans_are_bounded_in_bytes():
    def query(number: int) -> str:
        return f"# {'x' * 1_400}\nquery Q{number} {{ team {{ code }} }}"

    for number in range(60):
        for _ in range(2):
            run(query(number), plain_roots(), compiled=True)

    assert 20 < len(SCHEMA.plans.operations) < 60
    assert MAX_OPERATIONS_BYTES * 0.9 < SCHEMA.plans.operations.bytes <= MAX_OPERATIONS_BYTES
    assert SCHEMA.plans.lookup(query(59), None) is not None


def test_selection_above_the_field_limit_is_not_compiled(monkeypatch):
    monkeypatch.setattr(compile_module, "MAX_FIELDS", 3)
    query = "{ team { id code name version } }"
    run(query, plain_roots(), compiled=True)
    before = executions("interpreted")

    data, _ = run(query, plain_roots(), compiled=True)

    assert data["team"]["version"] == 1
    assert executions("interpreted") == before + 1
