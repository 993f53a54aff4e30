"""The dry run reports the same issues as a registration, for any form."""

import asyncio
from dataclasses import fields, replace
from datetime import timedelta

import asyncpg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from domain.documents import DocumentKind
from domain.errors.exceptions import InvalidForm
from domain.errors.issue_codes import IssueCode
from domain.errors.issues import Issue
from domain.registration.forms import DocumentForm, PersonForm, PlayerForm, TeamForm
from persistence.engine.database import Database
from persistence.engine.engine import DatabaseOptions
from resolvers.registration.register import register_team, validate_team
from resolvers.security.secrets import Secrets
from resolvers.services import Services
from tests import factories
from tests.conftest import SECRET
from tests.databases import dsn

REGISTERED = 3
PRIVATE = {IssueCode.DUPLICATE_CAPTAIN_EMAIL, IssueCode.DUPLICATE_CAPTAIN_PHONE}

characters = st.characters(codec=None)
json_leaves = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-5, 2**70),
    st.floats(),
    st.text(characters, max_size=12),
    st.sampled_from(["", "---", "\0", "\ud800", "2345 6789 0124", "BOWLER", "2008-02-29"]),
    st.lists(st.integers(), max_size=2),
    st.dictionaries(st.text(max_size=3), st.integers(), max_size=2),
)
# What live teams have, as they or others write it.
taken_leaves = st.sampled_from(
    ["Warriors 0", "WARRIORS. 1", "CSI Church 0", "C.S.I. Church 1", "+91 90000-00000",
     "09000000002", "person0@example.org", "PERSON4@EXAMPLE.ORG", "Captain A",
     "Captain B", "Anand Kumar I"]
)  # fmt: skip
leaves = json_leaves | taken_leaves
document_forms = st.builds(
    DocumentForm, kind=st.sampled_from(DocumentKind), document_id=st.text(max_size=5)
)
documents = st.lists(document_forms, max_size=2).map(tuple)


def changed(original, values) -> st.SearchStrategy:
    """Return the dataclass with up to three leaves replaced."""
    names = [field.name for field in fields(original) if field.name not in {"documents", "players"}]
    changes = st.dictionaries(st.sampled_from(names), values, max_size=3)
    return changes.map(lambda chosen: replace(original, **chosen))


@st.composite
def forms(draw) -> TeamForm:
    """Generate a valid form of a new or registered team with some values changed."""
    form = factories.form(draw(st.integers(0, REGISTERED + 3)))
    squad = list(form.players)
    if draw(st.booleans()):
        squad = squad[: draw(st.integers(0, 15))] + squad[: draw(st.integers(0, 4))]
    for place in draw(st.sets(st.integers(0, 18), max_size=3)):
        if place < len(squad):
            player: PlayerForm = draw(changed(squad[place], leaves))
            squad[place] = replace(player, documents=draw(documents))
    people: dict[str, PersonForm] = {
        name: draw(changed(getattr(form, name), leaves))
        for name in draw(st.sets(st.sampled_from(["captain", "vice_captain"])))
    }
    names = draw(st.dictionaries(st.sampled_from(["team_name", "church_name"]), leaves, max_size=2))
    return replace(
        form,
        **people,
        **names,
        players=tuple(squad),
        documents=draw(st.just(()) | documents),
        consent_version=draw(st.sampled_from(["1", "2", None])),
        locale=draw(st.none() | st.text(characters, max_size=5)),
    )


@pytest.fixture
def loop():
    with asyncio.Runner() as runner:
        yield runner.run


@pytest.fixture
def services(database_url, clock, loop, storage, accounts):
    """Services in the event loop of the test, with registered teams."""
    database = Database(DatabaseOptions(url=database_url))
    services = Services(
        database=database,
        secrets=Secrets(current=SECRET),
        storage=storage,
        accounts=accounts,
        guards=(),
        clock=clock,
        idempotency_ttl=timedelta(hours=24),
        outbox_retention=timedelta(days=30),
        version="0.1.0",
    )

    async def fill() -> None:
        await database.run(
            lambda uow: uow.tournaments.add_default(
                capacity=None, required_documents=(), now=clock.now
            )
        )
        for number in range(REGISTERED):
            await register_team(services, factories.form(number), key=None, request_id="request")

    loop(fill())
    yield services
    loop(database.close())


async def change_rules(database_url: str, required: list[str], consent: str | None) -> None:
    connection = await asyncpg.connect(dsn(database_url))
    await connection.execute(
        "UPDATE tournament SET teams_per_church = NULL, required_documents = $1,"
        " consent_version = $2",
        required,
        consent,
    )
    await connection.close()


async def registered_issues(services: Services, form: TeamForm) -> tuple[Issue, ...]:
    try:
        await register_team(services, form, key=None, request_id="request")
    except InvalidForm as refusal:
        return refusal.issues
    return ()


def compared(issues: tuple[Issue, ...]) -> list[tuple]:
    return [(issue.path, issue.code, issue.message, dict(issue.params)) for issue in issues]


@pytest.mark.parametrize(
    ("required", "consent"), [([], None), (["PASTOR_LETTER", "PHOTO"], None), ([], "2")]
)
def test_dry_run_and_registration_give_the_same_issues(
    services, loop, database_url, required, consent
):
    loop(change_rules(database_url, required, consent))
    seen: set[IssueCode] = set()

    @settings(
        max_examples=120,
        deadline=None,
        database=None,
        derandomize=True,
        suppress_health_check=[HealthCheck.too_slow],
    )
    @given(forms())
    def compare(form: TeamForm) -> None:
        report = loop(validate_team(services, form))
        issues = loop(registered_issues(services, form))
        seen.update(issue.code for issue in issues)
        public = tuple(item for item in issues if item.code not in PRIVATE)
        assert compared(report.issues) == compared(public)
        assert report.blockers == ()

    compare()

    assert PRIVATE | {IssueCode.DUPLICATE_TEAM_NAME, IssueCode.SQUAD_TOO_SMALL} <= seen
