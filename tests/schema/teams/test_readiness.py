"""A team can be confirmed if and only if it has no blockers."""

import random

from domain.documents import DocumentReview
from domain.teams.status import TeamAction, TeamStatus
from tests import factories
from tests.graphql_client import data, error_extensions, execute
from tests.schema.teams.test_decisions import decide, put_in
from tests.schema.test_documents import FULL_SET
from tests.uploading import with_documents

READINESS = '{ team(code: "ICCT-001") { version readiness { isReady blockers { code } } } }'
CASES = 120


async def test_no_blockers_means_that_confirming_succeeds(client, sql, reviewer):
    await sql.execute("UPDATE tournament SET required_documents = $1", FULL_SET)
    team = await with_documents(client, factories.team(1, players=factories.players(11)))
    data(await execute(client, factories.REGISTER, {"input": team}))
    ids = [row["id"] for row in await sql.fetch("SELECT id FROM document ORDER BY id")]
    chance = random.Random(2026)
    outcomes = {True: 0, False: 0}

    for _ in range(CASES):
        await arrange(sql, ids, chance)
        seen = data(await execute(client, READINESS, **reviewer))["team"]
        ready = seen["readiness"]
        answer = await decide(client, reviewer, TeamAction.CONFIRM, version=seen["version"])

        assert ready["isReady"] == (ready["blockers"] == [])
        outcomes[ready["isReady"]] += 1
        if ready["isReady"]:
            assert data(answer)["confirmTeam"]["team"]["status"] == "CONFIRMED"
        else:
            assert error_extensions(answer)["code"] == "INVALID_STATUS_TRANSITION"

    assert min(outcomes.values()) > CASES // 10


async def arrange(sql, ids: list, chance: random.Random) -> None:
    """Arrange a random status, required kinds, and documents in various states."""
    likely = [TeamStatus.PENDING] * 6
    await put_in(sql, chance.choice([*likely, *TeamStatus]))
    kinds = chance.sample(FULL_SET, chance.randint(0, len(FULL_SET)))
    await sql.execute("UPDATE tournament SET required_documents = $1", kinds)
    await sql.execute("UPDATE document SET review = 'ACCEPTED', deleted_at = NULL")
    for item in chance.sample(ids, chance.choice([0, 0, 1, 3])):
        review = chance.choice(list(DocumentReview))
        await sql.execute(
            "UPDATE document SET review = $2, deleted_at = $3::timestamptz WHERE id = $1",
            item,
            review.value,
            chance.choice([None, None, await sql.fetchval("SELECT now()")]),
        )
