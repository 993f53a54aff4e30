"""What a captain changes in the team before organisers have decided."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any
from uuid import UUID

from domain.audit import ACTION_OF_EDIT
from domain.auth.roles import CAPTAIN_ACTOR
from domain.documents import PLAYER_KINDS, TEAM_KINDS
from domain.errors.issues import INPUT
from domain.operations import Operation
from domain.registration.forms import DocumentForm, PlayerForm
from domain.teams.codes import player_code
from domain.teams.status import TeamStatus, refused
from domain.tournaments import require_open
from persistence.engine.database import Connection
from persistence.ids import new_id
from persistence.records import DocumentRecord, PlayerRecord, TeamRecord, TournamentRecord
from persistence.repositories import tournaments
from persistence.repositories.decisions import LockedTeam
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
from resolvers.teams.decisions import Change, TeamActivity, locked, read
from resolvers.teams.edits import Edit, form_of, player_form, store

_OPERATION = Operation.UPDATE_MY_TEAM


@dataclass(frozen=True, slots=True, kw_only=True)
class Update:
    """`changes` are fields of TeamForm but the squad's, which is given as a whole or not at all.

    Each entry of the squad has the code of the player that it stands for, or None for somebody
    new; players without an entry leave the team.
    """

    expected_version: int
    changes: Mapping[str, Any]
    documents: tuple[DocumentForm, ...]
    players: Sequence[tuple[str | None, PlayerForm]] | None


async def update(services: Services, token: str | None, wanted: Update) -> TeamRecord:
    """The team as it is afterwards; one that does not change keeps its version.

    Raises Unauthenticated, InvalidForm, StaleVersion, InvalidStatusTransition,
    RegistrationClosed.
    """
    team = await my_team(services, token)
    given = [wanted.documents, *(form.documents for _, form in wanted.players or ())]
    known = await uploads_named(services, given)
    return await services.database.run(partial(_update, services, team, wanted, known))


async def _update(
    services: Services,
    team: TeamRecord,
    wanted: Update,
    known: Mapping[str, DocumentRecord],
    connection: Connection,
) -> TeamRecord:
    team_id = team.id
    change = Change(
        actor=CAPTAIN_ACTOR,
        operation=_OPERATION,
        expected_version=wanted.expected_version,
        content=wanted,
    )
    decided = await locked(services, connection, team_id.hex, change)
    before = await read(connection, team_id)
    require_same_token(team, before)
    tournament = await tournaments.get_active(connection)
    _require_open(services, decided, tournament)
    squad = _squad(before, wanted)
    places = _places(before, wanted, squad)
    edit = replace(
        _edit(before, wanted, squad, tournament),
        issues=replacement_issues(places, known),
        documents=len(known),
    )
    act = TeamActivity(actor=CAPTAIN_ACTOR, action=ACTION_OF_EDIT[_OPERATION])
    after = await store(services, connection, decided, before, edit, tournament, act)
    if not known:
        return after
    await replace_documents(services, connection, team_id, places, known)
    return await read(connection, team_id)


def _require_open(services: Services, decided: LockedTeam, tournament: TournamentRecord) -> None:
    """What organisers asked for may be done after the closing date, all else before it."""
    if decided.status == TeamStatus.PENDING:
        require_open(tournament.rules, services.clock())
    elif decided.status != TeamStatus.CHANGES_REQUESTED:
        raise refused(
            decided.status,
            _OPERATION,
            message="The organisers have decided. Ask them for the change.",
        )


Member = tuple[UUID, PlayerRecord | None, PlayerForm]


def _squad(before: TeamRecord, wanted: Update) -> list[Member]:
    """The id of each entry, and the player that it stands for. Raises InvalidForm."""
    if wanted.players is None:
        return [(player.id, player, player_form(player)) for player in before.players]
    codes = {player_code(before.code, player.position): player for player in before.players}
    require_players(codes, [code for code, _ in wanted.players])
    squad: list[Member] = []
    for code, form in wanted.players:
        player = codes[code] if code is not None else None
        squad.append((player.id if player else new_id(), player, form))
    return squad


def _edit(
    before: TeamRecord, wanted: Update, squad: Sequence[Member], tournament: TournamentRecord
) -> Edit:
    form = form_of(before, consent_version=tournament.rules.consent_version)
    parts = ["teamName", "captain", "viceCaptain"]
    if wanted.players is not None:
        parts.append("players")
    return Edit(
        form=replace(form, players=tuple(one for _, _, one in squad), **wanted.changes),
        ids=tuple(player_id for player_id, _, _ in squad),
        places={(*INPUT, part): (*INPUT, part) for part in parts},
    )


def _places(before: TeamRecord, wanted: Update, squad: Sequence[Member]) -> list[OwnedPlace]:
    """Only somebody new has to bring what is required; the rest is for resubmitMyTeam to ask."""
    path = (*INPUT, "documents")
    own = replace(place(path, wanted.documents, TEAM_KINDS, before.documents, ()), missing=())
    places: list[OwnedPlace] = [(own, None)]
    if wanted.players is None:
        return places
    for index, (player_id, player, form) in enumerate(squad):
        path = (*INPUT, "players", index, "documents")
        if player is None:
            one = place(path, form.documents, PLAYER_KINDS, (), before.required_documents)
        else:
            one = place(path, form.documents, PLAYER_KINDS, player.documents, ())
            one = replace(one, missing=(), player_code=player_code(before.code, player.position))
        places.append((one, player_id))
    return places
