"""Corrections of a live team by organisers, each with a reason."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import structlog

from domain.audit import AUDIT_ACTION_BY_OPERATION, AuditAction
from domain.auth.roles import Caller, Role, require_role
from domain.errors.exceptions import (
    InvalidForm,
    InvalidStatusTransition,
    NotFound,
    StaleVersion,
    TeamNotFound,
)
from domain.errors.issues import INPUT, Issue, Path, size_issues
from domain.ids import parse_uuid
from domain.operations import Operation
from domain.registration.forms import PlayerForm
from domain.registration.names import parse_reason, require_reason
from domain.teams.codes import normalize_code, parse_player_code, player_code
from persistence.pagination import PageRequest
from persistence.records import PlayerRecord, TeamRecord, TournamentRecord
from persistence.repositories.audit import AuditFilter
from persistence.repositories.nodes import NodeKind
from persistence.unit_of_work import UnitOfWork
from resolvers.security.secrets import manage_token
from resolvers.services import Services
from resolvers.teams.decisions import (
    TeamActivity,
    VersionedRequest,
    load_team,
    lock_team,
    record_action,
)
from resolvers.teams.edits import (
    REMOVED_PLAYERS,
    Edit,
    apply_edit,
    current_form,
    player_form,
    require_live,
)

log = structlog.get_logger(__name__)

_PLAYERS: Path = (*INPUT, "players")
_PLAYER_OPERATIONS = frozenset({Operation.UPDATE_PLAYER, Operation.REMOVE_PLAYER})
# A repeat with a player's id is recognised while its removal is one of the newest.
MAX_REMOVALS = 100

EditFactory = Callable[[TeamRecord, TournamentRecord], Edit]


@dataclass(frozen=True, slots=True, kw_only=True)
class Correction:
    """A correction of the team or player `reference` at a version of the team.

    `content` is the rest of the input, for the fingerprint of the request.
    """

    reference: str
    expected_version: int
    reason: str
    content: object = None


async def update_team(
    services: Services, caller: Caller, correction: Correction, changes: Mapping[str, Any]
) -> TeamRecord:
    """Change the given fields of TeamForm.

    Raises Unauthenticated, Forbidden, InvalidForm, TeamNotFound, StaleVersion,
    InvalidStatusTransition, ChurchLimitReached.
    """

    def create_edit(team: TeamRecord, tournament: TournamentRecord) -> Edit:
        form = current_form(team, consent_version=tournament.rules.consent_version)
        fields = ("teamName", "churchName", "captain", "viceCaptain")
        return Edit(
            form=replace(form, **changes),
            player_ids=tuple(player.id for player in team.players),
            paths={(*INPUT, name): (*INPUT, name) for name in fields},
        )

    correction = replace(correction, content=changes)
    return await _correct(services, caller, correction, Operation.UPDATE_TEAM, create_edit)


async def update_player(
    services: Services, caller: Caller, correction: Correction, changes: Mapping[str, Any]
) -> TeamRecord:
    """Change the given fields of PlayerForm. Raises what `update_team` raises, and NotFound."""

    def create_edit(team: TeamRecord, tournament: TournamentRecord) -> Edit:
        player = _find_player(team, correction.reference)
        others = [other for other in team.players if other.id != player.id]
        changed = replace(player_form(player), **changes)
        # Last in the squad, because validation reports the later one of two equal players.
        return _squad_edit(team, tournament, [*others, player], changed, INPUT)

    correction = replace(correction, content=changes)
    return await _correct(services, caller, correction, Operation.UPDATE_PLAYER, create_edit)


async def add_player(
    services: Services, caller: Caller, correction: Correction, player: PlayerForm
) -> TeamRecord:
    """Add a player, whose documents the captain uploads later. Raises what `update_team` raises."""
    path = (*INPUT, "player")
    issues = tuple(size_issues((*path, "documents"), len(player.documents), minimum=0, maximum=0))

    def create_edit(team: TeamRecord, tournament: TournamentRecord) -> Edit:
        edit = _squad_edit(team, tournament, [*team.players, None], player, path)
        return replace(edit, issues=issues)

    correction = replace(correction, content=player)
    return await _correct(services, caller, correction, Operation.ADD_PLAYER, create_edit)


async def remove_player(services: Services, caller: Caller, correction: Correction) -> TeamRecord:
    """Remove a player and the player's documents.

    Raises what `update_team` raises, and NotFound.
    """

    def create_edit(team: TeamRecord, tournament: TournamentRecord) -> Edit:
        player = _find_player(team, correction.reference)
        form = current_form(team, consent_version=tournament.rules.consent_version)
        remaining = [other for other in team.players if other.id != player.id]
        return Edit(
            form=replace(form, players=tuple(player_form(other) for other in remaining)),
            player_ids=tuple(other.id for other in remaining),
            paths={_PLAYERS: (*INPUT, "playerId")},
        )

    return await _correct(services, caller, correction, Operation.REMOVE_PLAYER, create_edit)


async def reissue_manage_token(
    services: Services, caller: Caller, correction: Correction
) -> tuple[TeamRecord, str]:
    """Replace the team's manage token; return the team and the new token.

    Raises Unauthenticated, Forbidden, InvalidForm, TeamNotFound, StaleVersion.
    """
    require_role(caller, Role.REVIEWER)
    correction = replace(correction, reason=require_reason(correction.reason, "reason"))
    team = await services.database.run(partial(_reissue, services, caller, correction))
    log.info("manage_token_reissued", team=team.code)
    return team, manage_token(services.secrets, team.id, team.manage_generation)


async def _reissue(
    services: Services, caller: Caller, correction: Correction, uow: UnitOfWork
) -> TeamRecord:
    request = _versioned_request(caller, correction, Operation.REISSUE_MANAGE_TOKEN)
    team = await lock_team(services, uow, correction.reference, request)
    generation = await uow.teams.increment_manage_generation(team, now=services.clock())
    activity = _activity(caller, correction, Operation.REISSUE_MANAGE_TOKEN)
    changes = {"generation": [generation - 1, generation]}
    await record_action(services, uow, team, activity, changes=changes)
    return await load_team(uow, team.id)


def _squad_edit(
    team: TeamRecord,
    tournament: TournamentRecord,
    squad: list[PlayerRecord | None],
    last: PlayerForm,
    path: Path,
) -> Edit:
    """Build an edit in which the last entry of `squad` gets the form `last`.

    None is a new player. Issues of the last entry are reported at `path`.
    """
    form = current_form(team, consent_version=tournament.rules.consent_version)
    forms = [player_form(player) for player in squad[:-1] if player is not None]
    return Edit(
        form=replace(form, players=(*forms, last)),
        player_ids=tuple(player.id if player else None for player in squad),
        paths={_PLAYERS: path, (*_PLAYERS, len(forms)): path},
    )


def _find_player(team: TeamRecord, reference: str) -> PlayerRecord:
    """Return the player with this id or code. Raises NotFound."""
    code = normalize_code(reference)
    for player in team.players:
        if code in {player_code(team.code, player.position), player.id.hex.upper()}:
            return player
    raise NotFound("There is no such player.")


async def _correct(
    services: Services,
    caller: Caller,
    correction: Correction,
    operation: Operation,
    create_edit: EditFactory,
) -> TeamRecord:
    """Check the reason, then apply the edit in one transaction.

    Issues of the reason are reported together with those of the form.
    """
    require_role(caller, Role.REVIEWER)
    issues: list[Issue] = []
    reason = parse_reason(correction.reason, issues, "reason")
    correction = replace(correction, reason=reason)
    work = partial(
        _apply_correction, services, caller, correction, operation, create_edit, tuple(issues)
    )
    try:
        team = await services.database.run(work)
    except (TeamNotFound, NotFound, StaleVersion, InvalidStatusTransition):
        if issues:
            raise InvalidForm(issues) from None
        raise
    log.info("team_corrected", team=team.code, correction=operation.value)
    return team


async def _apply_correction(  # noqa: PLR0913, PLR0917 - a correction and its caller
    services: Services,
    caller: Caller,
    correction: Correction,
    operation: Operation,
    create_edit: EditFactory,
    issues: tuple[Issue, ...],
    uow: UnitOfWork,
) -> TeamRecord:
    reference = correction.reference
    if operation in _PLAYER_OPERATIONS:
        reference = await _player_team(reference, uow)
    request = _versioned_request(caller, correction, operation)
    locked = await lock_team(services, uow, reference, request)
    require_live(locked.status, operation)
    team = await load_team(uow, locked.id)
    tournament = await uow.tournaments.get_active()
    activity = _activity(caller, correction, operation)
    edit = create_edit(team, tournament)
    edit = replace(edit, issues=(*edit.issues, *issues))
    return await apply_edit(services, uow, locked, team, edit, tournament, activity)


def _activity(caller: Caller, correction: Correction, operation: Operation) -> TeamActivity:
    return TeamActivity(
        actor=caller.actor, action=AUDIT_ACTION_BY_OPERATION[operation], reason=correction.reason
    )


def _versioned_request(
    caller: Caller, correction: Correction, operation: Operation
) -> VersionedRequest:
    return VersionedRequest(
        actor=caller.actor,
        operation=operation,
        expected_version=correction.expected_version,
        content=correction,
    )


async def _player_team(reference: str, uow: UnitOfWork) -> str:
    """Return the code or id of the team of a player's id or code. Raises NotFound."""
    parsed = parse_player_code(reference)
    if parsed is not None:
        return parsed[0]
    node = await uow.nodes.find_by_external_id(reference)
    if node is None:
        return await _former_team(reference, uow)
    if node.kind != NodeKind.PLAYER or node.owner_id is None:
        raise NotFound("There is no such player.")
    return node.owner_id.hex


async def _former_team(reference: str, uow: UnitOfWork) -> str:
    """Return the id of the team that a player with this id was removed from. Raises NotFound."""
    player_id = parse_uuid(reference)
    removals = await uow.audit.page(
        filters=AuditFilter(actions=(AuditAction.TEAM_PLAYER_REMOVED,)),
        request=PageRequest(size=MAX_REMOVALS),
    )
    for event in removals.rows:
        removed = event.changes.get(REMOVED_PLAYERS, ())
        if player_id is not None and player_id.hex in removed and event.team_id is not None:
            return event.team_id.hex
    raise NotFound("There is no such player.")
