"""A captain's answer to requested changes: new documents, then back to the organisers."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial

from domain.auth.roles import CAPTAIN_ACTOR
from domain.documents import PLAYER_KINDS, TEAM_KINDS
from domain.errors.exceptions import InvalidForm
from domain.errors.issues import INPUT, Path
from domain.registration.forms import DocumentForm
from domain.teams.codes import player_code
from domain.teams.status import TeamAction, move
from persistence.engine.database import Connection
from persistence.records import DocumentRecord, TeamRecord
from resolvers.captain.access import my_team, require_same_token
from resolvers.captain.document_slots import (
    OwnedPlace,
    place,
    replace_documents,
    replacement_issues,
    require_players,
)
from resolvers.documents.links import uploads_named
from resolvers.services import Services
from resolvers.teams.decisions import Change, Decision, apply_decision, locked, read


@dataclass(frozen=True, slots=True, kw_only=True)
class Resubmission:
    """New documents of the team, and of players by their codes."""

    expected_version: int
    documents: tuple[DocumentForm, ...]
    players: Sequence[tuple[str, tuple[DocumentForm, ...]]]


async def resubmit(services: Services, token: str | None, wanted: Resubmission) -> TeamRecord:
    """Put new documents in the place of rejected and missing ones, and hand the team in again.

    Raises Unauthenticated, InvalidForm, StaleVersion, InvalidStatusTransition.
    """
    team = await my_team(services, token)
    given = [wanted.documents, *(named for _, named in wanted.players)]
    known = await uploads_named(services, given)
    return await services.database.run(partial(_resubmit, services, team, wanted, known))


async def _resubmit(
    services: Services,
    team: TeamRecord,
    wanted: Resubmission,
    known: Mapping[str, DocumentRecord],
    connection: Connection,
) -> TeamRecord:
    team_id = team.id
    change = Change(
        actor=CAPTAIN_ACTOR,
        operation=TeamAction.RESUBMIT.value,
        expected_version=wanted.expected_version,
        content=wanted,
    )
    decided = await locked(services, connection, team_id.hex, change)
    before = await read(connection, team_id)
    require_same_token(team, before)
    status = move(decided.status, TeamAction.RESUBMIT, is_captain=True)
    places = _places(before, wanted)
    issues = replacement_issues(places, known)
    if issues:
        raise InvalidForm(issues)
    await replace_documents(services, connection, team_id, places, known)
    decision = Decision(
        reference=team_id.hex, expected_version=wanted.expected_version, event=TeamAction.RESUBMIT
    )
    return await apply_decision(
        services, connection, decided, decision, status, actor=CAPTAIN_ACTOR
    )


def _places(team: TeamRecord, wanted: Resubmission) -> list[OwnedPlace]:
    """Every place of the team, with what is given for it, and whose it is. Raises InvalidForm."""
    codes = {player_code(team.code, player.position): player for player in team.players}
    require_players(codes, [code for code, _ in wanted.players])
    given = dict(wanted.players)
    # Players without an entry come after those with one, in the order of the squad.
    order = {
        code: index
        for index, code in enumerate([*given, *(code for code in codes if code not in given)])
    }
    required = team.required_documents
    own = place((*INPUT, "documents"), wanted.documents, TEAM_KINDS, team.documents, required)
    places: list[OwnedPlace] = [(own, None)]
    for code, player in codes.items():
        path: Path = (*INPUT, "players", order[code], "documents")
        named = given.get(code, ())
        one = place(path, named, PLAYER_KINDS, player.documents, required)
        places.append((replace(one, player_code=code), player.id))
    return places
