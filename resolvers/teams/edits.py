"""Edits of a registered team: validate the whole form again, store and record the differences."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from uuid import UUID

from domain.datetimes import local_date
from domain.errors.exceptions import ChurchLimitReached, InvalidForm
from domain.errors.issues import Issue, Path, first_issue_per_path, remap_paths
from domain.operations import Operation
from domain.registration.forms import PersonForm, PlayerForm, TeamForm, ValidPerson, ValidTeam
from domain.registration.names import normalize
from domain.registration.validation import validate_form
from domain.teams.codes import player_code
from domain.teams.status import LIVE_STATUSES, TeamStatus, transition_error
from domain.tournaments import TournamentRules
from persistence.ids import new_id
from persistence.records import LockedTeam, PlayerRecord, TeamRecord, TournamentRecord
from persistence.repositories.teams import PlayerValues
from persistence.unit_of_work import UnitOfWork
from resolvers.documents.jobs import enqueue_deletions
from resolvers.services import Services
from resolvers.teams.decisions import TeamActivity, load_team, record_action

# The key of an audit event's changes for the ids of players who left the team.
REMOVED_PLAYERS = "removedPlayers"
_PERSON_FIELDS = ("name", "phone", "whatsapp", "email")
_PLAYER_FIELDS = {
    "name": "name",
    "role": "role",
    "jersey_number": "jerseyNumber",
    "date_of_birth": "dateOfBirth",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Edit:
    """The complete form of a team after an edit.

    `player_ids` has the id of each entry of the squad, None for a new player. `paths` maps paths
    of the form to paths of the client's input. Issues at other paths concern unchanged fields: they
    are reported, at their path in the form, only if there are no others. `issues` are known
    already. `documents` is the number of documents that the edit adds, which makes it a change even
    if no field differs.

    """

    form: TeamForm
    player_ids: tuple[UUID | None, ...]
    paths: Mapping[Path, Path]
    issues: tuple[Issue, ...] = ()
    documents: int = 0


def current_form(team: TeamRecord, *, consent_version: str | None) -> TeamForm:
    """Return the form that would register the team as it is."""
    return TeamForm(
        team_name=team.name,
        church_name=team.church.name,
        captain=_person_form(team.captain),
        vice_captain=_person_form(team.vice_captain),
        players=tuple(player_form(player) for player in team.players),
        consent_version=consent_version,
    )


def player_form(player: PlayerRecord) -> PlayerForm:
    birth = player.date_of_birth
    return PlayerForm(
        name=player.name,
        role=player.role.value if player.role else None,
        jersey_number=player.jersey_number,
        date_of_birth=birth.isoformat() if birth else None,
    )


def require_live(status: TeamStatus, operation: Operation) -> None:
    """Raises InvalidStatusTransition."""
    if status not in LIVE_STATUSES:
        raise transition_error(
            status, operation, message="The team is not active any more. Reopen it first."
        )


async def apply_edit(  # noqa: PLR0913, PLR0917 - an edit, its team and its actor
    services: Services,
    uow: UnitOfWork,
    locked: LockedTeam,
    before: TeamRecord,
    edit: Edit,
    tournament: TournamentRecord,
    activity: TeamActivity,
) -> TeamRecord:
    """Validate and store an edit; return the team after it, unchanged if nothing differs.

    Raises InvalidForm, ChurchLimitReached.
    """
    now = services.clock()
    rules, today = _rules(tournament.rules, before, edit), local_date(tournament.time_zone, now)
    validation = validate_form(edit.form, rules, today=today)
    issues = first_issue_per_path((*remap_paths(validation.issues, edit.paths), *edit.issues))
    if validation.team is None or issues:
        raise InvalidForm(issues or validation.issues)
    valid_team = validation.team
    church_id = await uow.churches.find_id_by_name(
        locked.tournament_id, valid_team.normalized_church_name
    )
    squad = _squad(before, valid_team, edit.player_ids, locked.next_position)
    church_name = _church_name(before, valid_team, is_moved=church_id != locked.church_id)
    differences = _differences(before, valid_team, squad, church_name=church_name)
    if not differences and not edit.documents:
        return before
    if church_id != locked.church_id:
        church_id = await _change_church(services, uow, locked, church_id, valid_team, tournament)
    elif church_name != before.church.name:
        await uow.churches.rename(locked.church_id, church_name)
    await uow.teams.update(
        locked,
        valid_team,
        church_id=church_id,
        next_position=max([locked.next_position, *(player.position + 1 for player in squad)]),
        now=now,
    )
    await _store_squad(services, uow, before, squad)
    remaining = {player.id for player in squad}
    removed = [player.id.hex for player in before.players if player.id not in remaining]
    summary = _summary(differences, edit.documents, removed)
    await record_action(services, uow, locked, activity, items=differences, changes=summary)
    return await load_team(uow, locked.id)


def _summary(
    differences: Sequence[Mapping[str, object]], documents: int, removed_players: Sequence[str]
) -> dict[str, object]:
    """Summarise an edit for the audit log: names of fields, ids and a count, no values."""
    summary: dict[str, object] = {}
    if differences:
        summary["fields"] = [difference["field"] for difference in differences]
    if documents:
        summary["documents"] = documents
    if removed_players:
        summary[REMOVED_PLAYERS] = list(removed_players)
    return summary


def _rules(rules: TournamentRules, before: TeamRecord, edit: Edit) -> TournamentRules:
    """Relax the squad limits for a team that they do not fit.

    After a change of the limits, a squad may keep its size or come closer to them.
    """
    size, size_before = len(edit.form.players), len(before.players)
    if size >= size_before:
        rules = replace(rules, squad_min=min(rules.squad_min, size))
    if size <= size_before:
        rules = replace(rules, squad_max=max(rules.squad_max, size))
    return rules


def _squad(
    before: TeamRecord, valid_team: ValidTeam, player_ids: Sequence[UUID | None], next_position: int
) -> list[PlayerValues]:
    """Keep the positions of present players and number new ones from `next_position`."""
    positions = {player.id: player.position for player in before.players}
    squad = []
    for player_id, player in zip(player_ids, valid_team.players, strict=True):
        if player_id in positions:
            values = PlayerValues(id=player_id, position=positions[player_id], valid_player=player)
        else:
            values = PlayerValues(
                id=player_id or new_id(), position=next_position, valid_player=player
            )
            next_position += 1
        squad.append(values)
    return squad


async def _store_squad(
    services: Services, uow: UnitOfWork, before: TeamRecord, squad: Sequence[PlayerValues]
) -> None:
    present = {player.id: player for player in before.players}
    removed = present.keys() - {player.id for player in squad}
    if removed:
        deleted = await uow.documents.delete_by_players(removed)
        await enqueue_deletions(uow, deleted, team_id=before.id, now=services.clock())
        await uow.teams.remove_players(removed)
    changed = [
        player
        for player in squad
        if player.id in present and _player_changes(present[player.id], player)
    ]
    if changed:
        await uow.teams.update_players(changed)
    added = [player for player in squad if player.id not in present]
    if added:
        await uow.teams.add_players(before.id, added)


async def _change_church(  # noqa: PLR0913, PLR0917 - a team and the church that it moves to
    services: Services,
    uow: UnitOfWork,
    team: LockedTeam,
    church_id: UUID | None,
    valid_team: ValidTeam,
    tournament: TournamentRecord,
) -> UUID:
    """Take a slot of the church that the form names and release the slot of the old one.

    `church_id` is the church of that name, None if it is new. The rows are locked in the order of
    their ids, of which a new one is the last, so that moves in opposite directions do not deadlock.
    """
    is_released_first = church_id is None or team.church_id < church_id
    if is_released_first:
        await uow.slots.release_in_church(team.church_id)
    church = await uow.slots.take_by_church_name(tournament, valid_team, now=services.clock())
    if church is None:
        limit = tournament.rules.teams_per_church or 0
        raise ChurchLimitReached(limit=limit, registered=limit)
    if not is_released_first:
        await uow.slots.release_in_church(team.church_id)
    return church.id


def _church_name(before: TeamRecord, valid_team: ValidTeam, *, is_moved: bool) -> str:
    """Return the church's name after the edit: an alias of the church does not rename it."""
    is_spelling = normalize(before.church.name) == valid_team.normalized_church_name
    return valid_team.church_name if is_moved or is_spelling else before.church.name


def _differences(
    before: TeamRecord, valid_team: ValidTeam, squad: Sequence[PlayerValues], *, church_name: str
) -> list[dict[str, object]]:
    """List the changed fields with old and new value. A player's fields start with the code."""
    changes = [
        _field_change("teamName", before.name, valid_team.team_name),
        _field_change("churchName", before.church.name, church_name),
        *_person_changes("captain", before.captain, valid_team.captain),
        *_person_changes("viceCaptain", before.vice_captain, valid_team.vice_captain),
    ]
    present = {player.id: player for player in before.players}
    for player in squad:
        code = player_code(before.code, player.position)
        if player.id in present:
            changes += [
                {**change, "field": f"{code}.{change['field']}"}
                for change in _player_changes(present[player.id], player)
            ]
        else:
            changes.append(_field_change(code, None, player.valid_player.name))
    remaining = {player.id for player in squad}
    changes += [
        _field_change(player_code(before.code, player.position), player.name, None)
        for player in before.players
        if player.id not in remaining
    ]
    return [change for change in changes if change["old"] != change["new"]]


def _person_changes(prefix: str, old: ValidPerson, new: ValidPerson) -> list[dict[str, object]]:
    return [
        _field_change(f"{prefix}.{name}", getattr(old, name), getattr(new, name))
        for name in _PERSON_FIELDS
    ]


def _player_changes(old: PlayerRecord, new: PlayerValues) -> list[dict[str, object]]:
    changes = (
        _field_change(
            field, _audit_value(getattr(old, name)), _audit_value(getattr(new.valid_player, name))
        )
        for name, field in _PLAYER_FIELDS.items()
    )
    return [change for change in changes if change["old"] != change["new"]]


def _field_change(name: str, old: object, new: object) -> dict[str, object]:
    return {"field": name, "old": old, "new": new}


def _audit_value(value: object) -> object:
    return value if value is None or isinstance(value, int | str) else str(value)


def _person_form(person: ValidPerson) -> PersonForm:
    return PersonForm(
        name=person.name, phone=person.phone, whatsapp=person.whatsapp, email=person.email
    )
