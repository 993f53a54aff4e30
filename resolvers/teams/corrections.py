"""What organisers correct in a live team, each time with a reason."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import structlog

from domain.audit import ACTION_OF_EDIT
from domain.auth.roles import Caller, Role, require_role
from domain.errors.exceptions import (
    InvalidForm,
    InvalidStatusTransition,
    Issue,
    NotFound,
    StaleVersion,
    TeamNotFound,
)
from domain.errors.issues import INPUT, Path
from domain.operations import Operation
from domain.registration.forms import PlayerForm
from domain.registration.reasons import note_reason, read_reason
from domain.teams.codes import normalize_code, parse_player_code, player_code
from persistence.engine.database import Connection
from persistence.records import PlayerRecord, TeamRecord, TournamentRecord
from persistence.repositories import nodes, team_updates, tournaments
from persistence.repositories.decisions import LockedTeam
from persistence.repositories.nodes import NodeKind
from resolvers.security.secrets import manage_token
from resolvers.services import Services
from resolvers.teams.decisions import Change, TeamActivity, locked, read, record_action
from resolvers.teams.edits import Edit, form_of, player_form, require_live, store

log = structlog.get_logger(__name__)

_PLAYERS: Path = (*INPUT, "players")


@dataclass(frozen=True, slots=True, kw_only=True)
class Correction:
    """Which team, as the organiser saw it, and why. `reference` is a team's or a player's.

    `content` is what else was asked for.
    """

    reference: str
    expected_version: int
    reason: str
    content: object = None


Make = Callable[[TeamRecord, TournamentRecord], Edit]


async def update_team(
    services: Services, caller: Caller, correction: Correction, changes: Mapping[str, Any]
) -> TeamRecord:
    """`changes` are fields of TeamForm.

    Raises Unauthenticated, Forbidden, InvalidForm, TeamNotFound, StaleVersion,
    InvalidStatusTransition, ChurchLimitReached.
    """

    def make(team: TeamRecord, tournament: TournamentRecord) -> Edit:
        form = form_of(team, consent_version=tournament.rules.consent_version)
        places = ("teamName", "churchName", "captain", "viceCaptain")
        return Edit(
            form=replace(form, **changes),
            ids=tuple(player.id for player in team.players),
            places={(*INPUT, place): (*INPUT, place) for place in places},
        )

    return await _correct(
        services, caller, replace(correction, content=changes), Operation.UPDATE_TEAM, make
    )


async def update_player(
    services: Services, caller: Caller, correction: Correction, changes: Mapping[str, Any]
) -> TeamRecord:
    """`changes` are fields of PlayerForm. Raises what `update_team` raises, and NotFound."""

    def make(team: TeamRecord, tournament: TournamentRecord) -> Edit:
        player = _player(team, correction.reference)
        others = [one for one in team.players if one.id != player.id]
        changed = replace(player_form(player), **changes)
        # The last of the squad: of two who are alike, the later one is found at fault.
        return _squad_edit(team, tournament, [*others, player], changed, INPUT)

    correction = replace(correction, content=changes)
    return await _correct(
        services, caller, correction, Operation.UPDATE_PLAYER, make, of_player=True
    )


async def add_player(
    services: Services, caller: Caller, correction: Correction, player: PlayerForm
) -> TeamRecord:
    """Raises what `update_team` raises."""

    def make(team: TeamRecord, tournament: TournamentRecord) -> Edit:
        return _squad_edit(team, tournament, [*team.players, None], player, (*INPUT, "player"))

    return await _correct(
        services, caller, replace(correction, content=player), Operation.ADD_PLAYER, make
    )


async def remove_player(services: Services, caller: Caller, correction: Correction) -> TeamRecord:
    """Their documents are deleted too. Raises what `update_team` raises, and NotFound."""

    def make(team: TeamRecord, tournament: TournamentRecord) -> Edit:
        player = _player(team, correction.reference)
        form = form_of(team, consent_version=tournament.rules.consent_version)
        stay = [one for one in team.players if one.id != player.id]
        return Edit(
            form=replace(form, players=tuple(player_form(one) for one in stay)),
            ids=tuple(one.id for one in stay),
            places={_PLAYERS: (*INPUT, "playerId")},
        )

    return await _correct(
        services, caller, correction, Operation.REMOVE_PLAYER, make, of_player=True
    )


async def reissue_manage_token(
    services: Services, caller: Caller, correction: Correction
) -> tuple[TeamRecord, str]:
    """The team and its new secret; the old one opens nothing from now on.

    Raises Unauthenticated, Forbidden, InvalidForm, TeamNotFound, StaleVersion.
    """
    require_role(caller, Role.REVIEWER)
    correction = replace(correction, reason=read_reason(correction.reason, "reason"))
    team = await services.database.run(partial(_reissue, services, caller, correction))
    log.info("manage_token_reissued", team=team.code)
    return team, manage_token(services.secrets, team.id, team.manage_generation)


async def _reissue(
    services: Services, caller: Caller, correction: Correction, connection: Connection
) -> TeamRecord:
    change = _change(caller, correction, Operation.REISSUE_MANAGE_TOKEN)
    decided = await locked(services, connection, correction.reference, change)
    generation = await team_updates.increment_manage_generation(
        connection, decided, now=services.clock()
    )
    act = _act(caller, correction, Operation.REISSUE_MANAGE_TOKEN)
    changes = {"generation": [generation - 1, generation]}
    await record_action(services, connection, decided, act, changes=changes)
    return await read(connection, decided.id)


def _squad_edit(
    team: TeamRecord,
    tournament: TournamentRecord,
    squad: list[PlayerRecord | None],
    last: PlayerForm,
    place: Path,
) -> Edit:
    """The squad with something else in its last place, which the client gave at `place`."""
    form = form_of(team, consent_version=tournament.rules.consent_version)
    forms = [player_form(one) for one in squad[:-1] if one is not None]
    return Edit(
        form=replace(form, players=(*forms, last)),
        ids=tuple(one.id if one else None for one in squad),
        places={_PLAYERS: place, (*_PLAYERS, len(forms)): place},
    )


def _player(team: TeamRecord, reference: str) -> PlayerRecord:
    """Raises NotFound."""
    wanted = normalize_code(reference)
    for player in team.players:
        if wanted in {player_code(team.code, player.position), player.id.hex.upper()}:
            return player
    raise NotFound("There is no such player.")


async def _correct(  # noqa: PLR0913 - what is corrected, by whom
    services: Services,
    caller: Caller,
    correction: Correction,
    operation: Operation,
    make: Make,
    *,
    of_player: bool = False,
) -> TeamRecord:
    require_role(caller, Role.REVIEWER)
    issues: list[Issue] = []
    reason = note_reason(correction.reason, issues, "reason")
    correction = replace(correction, reason=reason)
    find = partial(_team_of_player, correction.reference) if of_player else None
    work = partial(_carry_out, services, caller, correction, operation, make, find, tuple(issues))
    try:
        team = await services.database.run(work)
    except (TeamNotFound, NotFound, StaleVersion, InvalidStatusTransition):
        if issues:
            raise InvalidForm(issues) from None
        raise
    log.info("team_corrected", team=team.code, correction=operation.value)
    return team


async def _carry_out(  # noqa: PLR0913, PLR0917 - what is corrected, by whom
    services: Services,
    caller: Caller,
    correction: Correction,
    operation: Operation,
    make: Make,
    find: Callable[[Connection], Awaitable[str]] | None,
    issues: tuple[Issue, ...],
    connection: Connection,
) -> TeamRecord:
    reference = await find(connection) if find else correction.reference
    decided: LockedTeam = await locked(
        services, connection, reference, _change(caller, correction, operation)
    )
    require_live(decided.status, operation)
    team = await read(connection, decided.id)
    tournament = await tournaments.get_active(connection)
    act = _act(caller, correction, operation)
    edit = replace(make(team, tournament), issues=issues)
    return await store(services, connection, decided, team, edit, tournament, act)


def _act(caller: Caller, correction: Correction, operation: Operation) -> TeamActivity:
    return TeamActivity(
        actor=caller.actor, action=ACTION_OF_EDIT[operation], reason=correction.reason
    )


def _change(caller: Caller, correction: Correction, operation: Operation) -> Change:
    return Change(
        actor=caller.actor,
        operation=operation,
        expected_version=correction.expected_version,
        content=correction,
    )


async def _team_of_player(reference: str, connection: Connection) -> str:
    """The code or id of the team. Raises NotFound."""
    parsed = parse_player_code(reference)
    if parsed is not None:
        return parsed[0]
    named = await nodes.find_by_external_id(connection, reference)
    if named is None or named.kind != NodeKind.PLAYER or named.owner_id is None:
        raise NotFound("There is no such player.")
    return named.owner_id.hex
