"""Resubmission of a team by its captain after organisers have requested changes."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial

from domain.auth.roles import CAPTAIN_ACTOR
from domain.documents import PLAYER_KINDS, TEAM_KINDS
from domain.errors.exceptions import InvalidForm
from domain.errors.issues import INPUT, Path
from domain.registration.forms import DocumentForm
from domain.teams.codes import player_code
from domain.teams.status import TeamAction, transition
from persistence.records import DocumentRecord, TeamRecord
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
from resolvers.teams.decisions import (
    Decision,
    VersionedRequest,
    apply_decision,
    load_team,
    lock_team,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Resubmission:
    """New documents of the team, and of players by player code."""

    expected_version: int
    documents: tuple[DocumentForm, ...]
    players: Sequence[tuple[str, tuple[DocumentForm, ...]]]


async def resubmit(services: Services, token: str | None, resubmission: Resubmission) -> TeamRecord:
    """Replace rejected and missing documents and return the team to the organisers.

    Raises Unauthenticated, InvalidForm, StaleVersion, InvalidStatusTransition.
    """
    team = await my_team(services, token)
    forms = [resubmission.documents, *(documents for _, documents in resubmission.players)]
    uploads = await find_uploads(services, forms)
    return await services.database.run(partial(_resubmit, services, team, resubmission, uploads))


async def _resubmit(
    services: Services,
    team: TeamRecord,
    resubmission: Resubmission,
    uploads: Mapping[str, DocumentRecord],
    uow: UnitOfWork,
) -> TeamRecord:
    request = VersionedRequest(
        actor=CAPTAIN_ACTOR,
        operation=TeamAction.RESUBMIT.value,
        expected_version=resubmission.expected_version,
        content=resubmission,
    )
    locked = await lock_team(services, uow, team.id.hex, request)
    before = await load_team(uow, team.id)
    require_same_token(team, before)
    status = transition(locked.status, TeamAction.RESUBMIT, is_captain=True)
    lists = _document_lists(before, resubmission)
    issues = replacement_issues(lists, uploads)
    if issues:
        raise InvalidForm(issues)
    await replace_documents(services, uow, team.id, lists, uploads)
    decision = Decision(
        reference=team.id.hex,
        expected_version=resubmission.expected_version,
        action=TeamAction.RESUBMIT,
    )
    return await apply_decision(services, uow, locked, decision, status, actor=CAPTAIN_ACTOR)


def _document_lists(team: TeamRecord, resubmission: Resubmission) -> list[PlayerDocumentList]:
    """Build the lists of the team and of every player. Raises InvalidForm.

    A player that the input does not name gets the next free index in paths of issues.
    """
    codes = {player_code(team.code, player.position): player for player in team.players}
    require_known_players(codes, [code for code, _ in resubmission.players])
    forms = dict(resubmission.players)
    order = {
        code: index
        for index, code in enumerate([*forms, *(code for code in codes if code not in forms)])
    }
    required = team.required_documents
    path: Path = (*INPUT, "documents")
    document_list = build_document_list(
        path, resubmission.documents, TEAM_KINDS, team.documents, required
    )
    lists: list[PlayerDocumentList] = [(document_list, None)]
    for code, player in codes.items():
        path = (*INPUT, "players", order[code], "documents")
        document_list = build_document_list(
            path, forms.get(code, ()), PLAYER_KINDS, player.documents, required
        )
        lists.append((replace(document_list, player_code=code), player.id))
    return lists
