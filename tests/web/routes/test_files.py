"""Seeing a document: through a link, for a while, on record."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import UUID, uuid4

import pytest

from domain.auth.roles import ANONYMOUS, Caller, CallerKind, Role
from domain.errors.exceptions import Forbidden, Unauthenticated
from resolvers.documents.links import create_link
from tests import factories, sample_files
from tests.accounts import new_caller
from tests.graphql_client import check_envelope, data, execute
from tests.uploading import upload, with_wrong_signature


@pytest.fixture
async def reviewer(services) -> Caller:
    return await new_caller(services, Role.REVIEWER)


@pytest.fixture
async def proof(client) -> UUID:
    """A player's identity proof, of a team that is registered."""
    players = factories.players()
    document_id = await upload(client, "IDENTITY_PROOF", sample_files.jpeg())
    players[2]["documents"] = [{"kind": "IDENTITY_PROOF", "documentId": document_id}]
    data(await execute(client, factories.REGISTER, {"input": factories.team(players=players)}))
    return UUID(document_id)


@pytest.fixture
def now(services, clock):
    """The clock of the application, which is the machine's."""
    clock.now = datetime.now(UTC)
    return clock


@pytest.fixture
def link(services, now, proof, reviewer) -> str:
    url, _ = create_link(services, reviewer, proof)
    return url


def copies(settings) -> list[Path]:
    return list((settings.data_dir / "uploads").glob("*"))


async def test_a_link_shows_the_document(client, link, settings):
    answer = await client.get(link)

    assert answer.status_code == 200
    assert answer.content == sample_files.jpeg()
    assert {name: answer.headers[name] for name in SHOWN} == SHOWN
    assert copies(settings) == []


SHOWN = {
    "Content-Type": "image/jpeg",
    "Content-Disposition": 'inline; filename="ICCT-001-P03-identity-proof.jpg"',
    "X-Content-Type-Options": "nosniff",
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
}


async def test_parts_of_it_can_be_asked_for(client, link):
    answer = await client.get(link, headers={"Range": "bytes=10-19"})

    assert answer.status_code == 206
    assert answer.content == sample_files.jpeg()[10:20]
    assert answer.headers["Content-Range"] == f"bytes 10-19/{len(sample_files.jpeg())}"


async def test_every_view_is_on_record_before_it_is_shown(client, link, sql, proof, reviewer):
    for _ in range(2):
        await client.get(link)
    await client.get(link, headers={"Range": "bytes=10-19"})

    events = await sql.fetch(
        "SELECT actor, changes, team_id IS NOT NULL AS of_team FROM audit_event"
        " WHERE action = 'document.viewed'"
    )
    assert [tuple(event) for event in events] == [
        (f"organiser:{reviewer.organiser_id.hex}", f'{{"document": "{proof.hex}"}}', True)
    ] * 3


async def test_links_end_after_ten_minutes(client, services, now, proof, reviewer):
    now.advance(minutes=-10)
    url, expires_at = create_link(services, reviewer, proof)

    answer = await client.get(url)

    assert expires_at == now.now.replace(microsecond=0) + timedelta(minutes=10)
    assert answer.status_code == 404
    check_envelope(answer.json())
    assert answer.json()["errors"][0]["message"] == "This link has expired. Ask for another one."


async def test_links_end_with_the_role_of_their_organiser(client, link, sql):
    await sql.execute("UPDATE organiser SET role = 'VIEWER'")
    as_viewer = await client.get(link)
    await sql.execute("UPDATE organiser SET role = 'OWNER'")

    as_owner = await client.get(link)

    assert (as_viewer.status_code, as_owner.status_code) == (404, 200)
    assert await views(sql) == 1


async def views(sql) -> int:
    return await sql.fetchval("SELECT count(*) FROM audit_event WHERE action = 'document.viewed'")


async def test_a_link_that_was_guessed_or_changed_leads_nowhere(client, link, sql):
    changed = with_wrong_signature(link)

    answers = [await client.get(url) for url in (changed, "/files/x", "/files/..%2f..%2fetc")]

    assert [answer.status_code for answer in answers] == [404] * 3
    assert await views(sql) == 0


async def test_an_upload_ticket_is_no_link(client, link, services):
    _, _, token = link.rpartition("/")

    answer = await client.put(f"/uploads/{token}", content=b"x")

    assert answer.status_code == 404


async def test_a_document_that_was_deleted_is_shown_to_nobody(client, link, sql):
    await sql.execute("UPDATE document SET deleted_at = now()")

    answer = await client.get(link)

    assert answer.status_code == 404
    assert await views(sql) == 0


async def test_an_upload_that_no_team_has_is_shown_to_nobody(client, services, now, reviewer):
    document_id = await upload(client, "PHOTO")
    url, _ = create_link(services, reviewer, UUID(document_id))

    assert (await client.get(url)).status_code == 404


@pytest.mark.parametrize(
    ("recorded", "actual"),
    [
        ("pending", "confirmed"),
        ("pending", "rejected"),
        ("confirmed", "pending"),
        ("confirmed", "rejected"),
        ("rejected", "pending"),
        ("rejected", "confirmed"),
    ],
)
async def test_file_in_another_folder_than_recorded_is_shown_and_recorded(
    client, link, settings, sql, recorded, actual
):
    put_into(settings, actual)
    await sql.execute("UPDATE document SET folder = $1", recorded)

    shown = [await client.get(link) for _ in range(2)]

    assert [answer.status_code for answer in shown] == [200, 200]
    assert {answer.content for answer in shown} == {sample_files.jpeg()}
    assert await sql.fetchval("SELECT folder FROM document") == actual
    assert copies(settings) == []


def put_into(settings, folder: str) -> None:
    root = settings.data_dir / "documents"
    (path,) = [path for path in root.rglob("*") if path.is_file()]
    (root / folder).mkdir(exist_ok=True)
    path.rename(root / folder / path.name)


async def test_file_in_no_folder_is_not_found_and_its_row_stays(client, link, settings, sql):
    (path,) = (settings.data_dir / "documents" / "pending").iterdir()
    path.unlink()

    answer = await client.get(link)

    assert answer.status_code == 404
    assert await sql.fetchval("SELECT folder FROM document") == "pending"
    assert copies(settings) == []


async def test_a_store_that_is_gone_is_told(client, link, sql, settings):
    await sql.execute("UPDATE document SET store = 'cloudinary'")

    answer = await client.get(link)

    assert answer.status_code == 503
    assert answer.json()["errors"][0]["extensions"]["code"] == "STORAGE_UNAVAILABLE"
    assert copies(settings) == []


@pytest.mark.parametrize(
    ("caller", "refusal"),
    [
        (ANONYMOUS, Unauthenticated),
        (Caller(kind=CallerKind.ORGANISER, organiser_id=uuid4(), role=Role.VIEWER), Forbidden),
    ],
    ids=["a stranger", "a viewer"],
)
async def test_links_are_made_for_reviewers_only(services, caller, refusal):
    with pytest.raises(refusal):
        create_link(services, caller, uuid4())
