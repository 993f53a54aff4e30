"""Captains' edits of their team before the organisers decide."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any
from uuid import UUID

from domain.audit import AUDIT_ACTION_BY_OPERATION
from domain.auth.roles import CAPTAIN_ACTOR
from domain.documents import PLAYER_KINDS, TEAM_KINDS
from domain.errors.issues import INPUT
from domain.operations import Operation
from domain.registration.forms import DocumentForm, PlayerForm
from domain.teams.codes import player_code
from domain.teams.status import TeamStatus, transition_error
from domain.tournaments import require_open
from persistence.ids import new_id
from persistence.records import (
    DocumentRecord,
    LockedTeam,
    PlayerRecord,
    TeamRecord,
    TournamentRecord,
)
from persistence.unit_of_work import UnitOfWork
from resolvers.captain.access import my_team, require_same_token
from resolvers.captain.document_lists import (
    PlayerDocumentList,
    build_document_list,
    replace_documents,
    replacement_issues,
    require_known_players,
)
from resolvers.documents.links import find_uploads
from resolvers.services import Services
from resolvers.teams.decisions import TeamActivity, VersionedRequest, load_team, lock_team
from resolvers.teams.edits import Edit, apply_edit, current_form, player_form

_OPERATION = Operation.UPDATE_MY_TEAM

# Id, present record (None for a new player) and form of an entry of the squad.
SquadEntry = tuple[UUID, PlayerRecord | None, PlayerForm]


@dataclass(frozen=True, slots=True, kw_only=True)
class TeamUpdate:
    """Changes by a captain.

    `changes` are fields of TeamForm except `players`. `players` is the complete new squad, None to
    leave the squad unchanged: each entry has the code of a present player, or None for a new one.
    Players without an entry are removed.
    """

    expected_version: int
    changes: Mapping[str, Any]
    documents: tuple[DocumentForm, ...]
    players: Sequence[tuple[str | None, PlayerForm]] | None


async def update_my_team(services: Services, token: str | None, update: TeamUpdate) -> TeamRecord:
    """Apply the update; return the team after it, with the same version if nothing differs.

    Raises Unauthenticated, InvalidForm, StaleVersion, InvalidStatusTransition, RegistrationNotOpen,
    RegistrationClosed.
    """
    team = await my_team(services, token)
    forms = [update.documents, *(form.documents for _, form in update.players or ())]
    uploads = await find_uploads(services, forms)
    return await services.database.run(partial(_apply_update, services, team, update, uploads))


async def _apply_update(
    services: Services,
    team: TeamRecord,
    update: TeamUpdate,
    uploads: Mapping[str, DocumentRecord],
    uow: UnitOfWork,
) -> TeamRecord:
    request = VersionedRequest(
        actor=CAPTAIN_ACTOR,
        operation=_OPERATION,
        expected_version=update.expected_version,
        content=update,
    )
    locked = await lock_team(services, uow, team.id.hex, request)
    before = await load_team(uow, team.id)
    require_same_token(team, before)
    tournament = await uow.tournaments.get_active()
    _require_open(services, locked, tournament)
    squad = _squad(before, update)
    lists = _document_lists(before, update, squad)
    edit = replace(
        _edit(before, update, squad, tournament),
        issues=replacement_issues(lists, uploads),
        documents=len(uploads),
    )
    activity = TeamActivity(actor=CAPTAIN_ACTOR, action=AUDIT_ACTION_BY_OPERATION[_OPERATION])
    after = await apply_edit(services, uow, locked, before, edit, tournament, activity)
    if not uploads:
        return after
    await replace_documents(services, uow, team.id, lists, uploads)
    return await load_team(uow, team.id)


def _require_open(services: Services, team: LockedTeam, tournament: TournamentRecord) -> None:
    """Raises RegistrationNotOpen, RegistrationClosed, InvalidStatusTransition.

    Changes that organisers have requested may be made after the closing date.
    """
    if team.status == TeamStatus.PENDING:
        require_open(tournament.rules, services.clock())
    elif team.status != TeamStatus.CHANGES_REQUESTED:
        raise transition_error(
            team.status, _OPERATION, message="The organisers have decided. Ask them for the change."
        )


def _squad(before: TeamRecord, update: TeamUpdate) -> list[SquadEntry]:
    """Raises InvalidForm for an unknown or repeated player code."""
    if update.players is None:
        return [(player.id, player, player_form(player)) for player in before.players]
    codes = {player_code(before.code, player.position): player for player in before.players}
    require_known_players(codes, [code for code, _ in update.players])
    squad: list[SquadEntry] = []
    for code, form in update.players:
        player = codes[code] if code is not None else None
        squad.append((player.id if player else new_id(), player, form))
    return squad


def _edit(
    before: TeamRecord,
    update: TeamUpdate,
    squad: Sequence[SquadEntry],
    tournament: TournamentRecord,
) -> Edit:
    form = current_form(before, consent_version=tournament.rules.consent_version)
    fields = ["teamName", "captain", "viceCaptain"]
    if update.players is not None:
        fields.append("players")
    players = tuple(player_form for _, _, player_form in squad)
    return Edit(
        form=replace(form, players=players, **update.changes),
        player_ids=tuple(player_id for player_id, _, _ in squad),
        paths={(*INPUT, name): (*INPUT, name) for name in fields},
    )


def _document_lists(
    before: TeamRecord, update: TeamUpdate, squad: Sequence[SquadEntry]
) -> list[PlayerDocumentList]:
    """Require documents of new players only; `resubmitMyTeam` requires all missing ones."""
    path = (*INPUT, "documents")
    document_list = build_document_list(path, update.documents, TEAM_KINDS, before.documents, ())
    lists: list[PlayerDocumentList] = [(replace(document_list, missing=()), None)]
    if update.players is None:
        return lists
    for index, (player_id, player, form) in enumerate(squad):
        path = (*INPUT, "players", index, "documents")
        if player is None:
            required = before.required_documents
            document_list = build_document_list(path, form.documents, PLAYER_KINDS, (), required)
        else:
            document_list = build_document_list(
                path, form.documents, PLAYER_KINDS, player.documents, ()
            )
            code = player_code(before.code, player.position)
            document_list = replace(document_list, missing=(), player_code=code)
        lists.append((document_list, player_id))
    return lists
