"""Invariants of the rows after any sequence of faults."""

from collections import Counter

import asyncpg

from tests.databases import dsn

# ICCT-999 comes before ICCT-1000.
IN_ORDER = "ORDER BY length(code), code"


async def registered_codes(url: str) -> dict[str, str]:
    """Check all counters; return codes by captain's e-mail in the order of the codes."""
    connection = await asyncpg.connect(dsn(url))
    try:
        await _compare_counts(connection)
        await _compare_messages(connection)
        teams = await connection.fetch(f"SELECT captain_email, code FROM team {IN_ORDER}")
    finally:
        await connection.close()
    return {team["captain_email"]: team["code"] for team in teams}


async def _compare_counts(connection: asyncpg.Connection) -> None:
    tournament = await connection.fetchrow("SELECT taken, next_team_number FROM tournament")
    teams = await connection.fetch(f"SELECT id, code, church_id FROM team {IN_ORDER}")
    churches = await connection.fetch("SELECT id, taken FROM church")

    assert [team["code"] for team in teams] == [f"ICCT-{n + 1:03}" for n in range(len(teams))]
    assert (tournament["taken"], tournament["next_team_number"]) == (len(teams), len(teams) + 1)
    assert {church["id"]: church["taken"] for church in churches} == Counter(
        team["church_id"] for team in teams
    )


async def _compare_messages(connection: asyncpg.Connection) -> None:
    squads = await connection.fetch("SELECT team_id, count(*) FROM player GROUP BY team_id")
    audited = await connection.fetch("SELECT team_id, action FROM audit_event")
    messages = await connection.fetch("SELECT team_id, kind FROM outbox_message")
    teams = {row["id"] for row in await connection.fetch("SELECT id FROM team")}

    assert {row["team_id"]: row["count"] for row in squads} == dict.fromkeys(teams, 15)
    assert Counter(map(tuple, audited)) == Counter((team, "team.registered") for team in teams)
    assert Counter(map(tuple, messages)) == Counter((team, "mail.team_received") for team in teams)
