import asyncio
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import timedelta
from uuid import UUID

import asyncpg
import pytest

from domain.documents import DocumentFormat, DocumentKind, DocumentReview
from persistence.ids import new_id
from persistence.records import DocumentClaim, DocumentRecord
from tests.databases import dsn

SHA256 = b"\x01" * 32
ADD_TEAM = """
    WITH new_church AS (
        INSERT INTO church SELECT $1, id, $2, $2, 1, now() FROM tournament WHERE is_active
        RETURNING id, tournament_id
    )
    INSERT INTO team SELECT (jsonb_populate_record(NULL::team, jsonb_build_object(
        'id', id, 'tournament_id', tournament_id, 'church_id', id, 'code', $2::text,
        'name', $2::text, 'normalized_name', $2::text, 'status', 'PENDING', 'version', 1,
        'captain_name', $2::text, 'captain_phone', $2::text, 'captain_whatsapp', $2::text,
        'captain_email', $2::text, 'vice_captain_name', $2::text, 'vice_captain_phone', $2::text,
        'vice_captain_whatsapp', $2::text, 'vice_captain_email', $2::text,
        'manage_generation', 1, 'next_position', 1, 'registered_at', now(), 'updated_at', now()
    ))).* FROM new_church
"""


@pytest.fixture
def add_team(sql):
    """A function that adds a team without players and returns its id."""

    async def add(code: str = "ICCT-001") -> UUID:
        team_id = new_id()
        await sql.execute(ADD_TEAM, team_id, code)
        return team_id

    return add


@pytest.fixture
def add_upload(database, clock):
    """A function that adds an upload and returns its record."""

    async def add(*, is_stored: bool = True, **changes) -> DocumentRecord:
        document_id = new_id()
        upload = DocumentRecord(
            id=document_id,
            kind=DocumentKind.PASTOR_LETTER,
            format=DocumentFormat.PDF,
            byte_size=7,
            created_at=clock.now,
            store="folder",
            storage_name=document_id.hex,
            folder="pending",
        )
        upload = replace(upload, **changes)
        await database.run(lambda uow: uow.documents.get_or_add(upload, SHA256))
        if is_stored:
            await database.run(lambda uow: uow.documents.mark_stored(upload.id, now=clock.now))
            upload = replace(upload, stored_at=clock.now)
        return upload

    return add


@pytest.fixture
def claim(database, clock):
    async def run(team_id: UUID, *documents: DocumentRecord) -> bool:
        claims = [DocumentClaim(document_id=entry.id, player_id=None) for entry in documents]
        return await database.run(lambda uow: uow.documents.claim(team_id, claims, now=clock.now))

    return run


@pytest.fixture
def other_transaction(database_url):
    """A context with a connection in a transaction of another client, committed at its end."""

    @asynccontextmanager
    async def open_transaction():
        connection = await asyncpg.connect(dsn(database_url))
        try:
            async with connection.transaction():
                yield connection
        finally:
            await connection.close()

    return open_transaction


async def rows(sql) -> list[tuple]:
    return [tuple(row) for row in await sql.fetch("SELECT * FROM document ORDER BY id")]


async def find(database, document: DocumentRecord) -> DocumentRecord | None:
    return await database.read(lambda uow: uow.documents.find(document.id))


async def test_added_upload_is_read_as_it_was_added(database, add_upload, sql):
    upload = await add_upload(is_stored=False)

    assert await find(database, upload) == upload
    assert await sql.fetchval("SELECT sha256 FROM document") == SHA256


async def test_upload_with_a_used_id_gets_the_first_row(database, add_upload, sql):
    first = await add_upload()
    before = await rows(sql)
    second = replace(first, storage_name="other", byte_size=8, stored_at=None)

    found = await database.run(lambda uow: uow.documents.get_or_add(second, SHA256))

    assert found == first
    assert await rows(sql) == before


async def test_upload_is_marked_as_stored_once(database, add_upload, clock):
    upload = await add_upload(is_stored=False)

    async def mark(document_id: UUID) -> bool | None:
        return await database.run(lambda uow: uow.documents.mark_stored(document_id, now=clock.now))

    assert [await mark(upload.id), await mark(upload.id)] == [True, False]
    assert await mark(new_id()) is None
    assert await find(database, upload) == replace(upload, stored_at=clock.now)


async def test_claimed_documents_belong_to_the_team(database, add_team, add_upload, claim, clock):
    team_id = await add_team()
    letter = await add_upload()
    photo = await add_upload(kind=DocumentKind.GROUP_PHOTO)

    assert await claim(team_id, letter, photo) is True

    found = await database.read(lambda uow: uow.documents.list_by_teams([team_id]))
    changes = {"team_id": team_id, "claimed_at": clock.now}
    assert found == [replace(letter, **changes), replace(photo, **changes)]


async def test_claim_is_seen_by_later_reads_of_the_same_transaction(
    database, add_team, add_upload, clock
):
    team_id = await add_team()
    letter = await add_upload()
    claims = [DocumentClaim(document_id=letter.id, player_id=None)]

    async def work(uow) -> tuple:
        before = await uow.documents.find(letter.id)
        await uow.documents.claim(team_id, claims, now=clock.now)
        kinds = [DocumentKind.PASTOR_LETTER]
        claimed = await uow.documents.list_by_teams([team_id])
        await uow.documents.supersede(team_id, None, kinds)
        return before, claimed, await uow.documents.list_stored_by_team(team_id)

    claimed = replace(letter, team_id=team_id, claimed_at=clock.now)
    superseded = replace(claimed, review=DocumentReview.SUPERSEDED)
    assert await database.run(work) == (letter, [claimed], [superseded])


@pytest.mark.parametrize("reason", ["claimed", "not stored", "deleted", "named twice"])
async def test_claim_of_an_unavailable_document_claims_none(
    add_team, add_upload, claim, sql, reason
):
    team_id, other_id = await add_team("ICCT-001"), await add_team("ICCT-002")
    letter = await add_upload(is_stored=reason != "not stored")
    photo = await add_upload(kind=DocumentKind.GROUP_PHOTO)
    if reason == "claimed":
        assert await claim(other_id, letter)
    if reason == "deleted":
        await sql.execute("DELETE FROM document WHERE id = $1", letter.id)
    if reason == "named twice":
        letter = photo
    before = await rows(sql)

    assert await claim(team_id, photo, letter) is False

    assert await rows(sql) == before


async def test_claim_waits_for_another_claim_and_is_refused(
    add_team, add_upload, claim, sql, other_transaction
):
    team_id, other_id = await add_team("ICCT-001"), await add_team("ICCT-002")
    letter = await add_upload()

    async with other_transaction() as other:
        await other.execute("UPDATE document SET team_id = $1, claimed_at = now()", other_id)
        claiming = asyncio.create_task(claim(team_id, letter))
        while not await sql.fetchval("SELECT count(*) FROM pg_locks WHERE NOT granted"):
            pass

    assert await claiming is False
    assert await sql.fetchval("SELECT team_id FROM document") == other_id


async def test_concurrent_claims_of_one_document_have_one_winner(add_team, add_upload, claim, sql):
    team_ids = [await add_team(f"ICCT-00{number}") for number in range(1, 6)]
    letter = await add_upload()

    results = await asyncio.gather(*(claim(team_id, letter) for team_id in team_ids))

    assert sorted(results) == [False] * 4 + [True]
    assert await sql.fetchval("SELECT team_id FROM document") == team_ids[results.index(True)]


async def test_upload_that_is_being_claimed_is_not_deleted_as_unclaimed(
    database, add_upload, clock, sql, other_transaction
):
    letter, photo = await add_upload(), await add_upload()
    before = clock.now + timedelta(days=1)

    async with other_transaction() as other:
        await other.execute("SELECT FROM document WHERE id = $1 FOR UPDATE", letter.id)
        deleted = await database.run(
            lambda uow: uow.documents.delete_unclaimed(before=before, limit=10)
        )

    assert [entry.storage_name for entry in deleted] == [photo.storage_name]
    assert [row["id"] for row in await sql.fetch("SELECT id FROM document")] == [letter.id]


async def test_claimed_document_of_a_kind_expires_once(
    database, add_team, add_upload, claim, clock, sql, other_transaction
):
    team_id = await add_team()
    letter = await add_upload()
    photo = await add_upload(kind=DocumentKind.GROUP_PHOTO)
    await claim(team_id, letter, photo)
    now = clock.now + timedelta(days=1)

    async def expire() -> list[UUID | None]:
        deleted = await database.run(
            lambda uow: uow.documents.expire_claimed(
                [DocumentKind.PASTOR_LETTER], before=now, now=now, limit=10
            )
        )
        return [entry.id for entry in deleted]

    async with other_transaction() as other:
        await other.execute("SELECT FROM document WHERE id = $1 FOR UPDATE", letter.id)
        assert await expire() == []
    assert [await expire(), await expire()] == [[letter.id], []]
    deleted_at = await sql.fetch("SELECT deleted_at FROM document ORDER BY id")
    assert [row["deleted_at"] for row in deleted_at] == [now, None]


async def test_folder_is_corrected_only_from_the_recorded_one(database, add_upload, sql):
    upload = await add_upload()

    async def correct(recorded: str, folder: str) -> bool:
        return await database.run(
            lambda uow: uow.documents.correct_folder(upload.id, recorded=recorded, folder=folder)
        )

    assert await correct("pending", "confirmed") is True
    assert await correct("pending", "rejected") is False
    assert await sql.fetchval("SELECT folder FROM document") == "confirmed"


async def test_folder_of_a_deleted_document_is_not_changed(database, add_upload, sql):
    upload = await add_upload()
    await sql.execute("UPDATE document SET deleted_at = now()")

    assert not await database.run(
        lambda uow: uow.documents.set_folder(upload.id, folder="confirmed")
    )
    assert await sql.fetchval("SELECT folder FROM document") == "pending"
