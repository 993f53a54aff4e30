"""Changing what a team registered with, whoever does it: the whole form is checked again."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from uuid import UUID

from domain.datetimes import day_in
from domain.errors.exceptions import ChurchLimitReached, InvalidForm, Issue
from domain.errors.issues import Path, first_issue_per_path, remap_paths
from domain.operations import Operation
from domain.registration.forms import PersonEntry, PersonForm, PlayerForm, TeamEntry, TeamForm
from domain.registration.names import normalize
from domain.registration.validation import check
from domain.teams.codes import player_code
from domain.teams.status import LIVE_STATUSES, TeamStatus, refused
from domain.tournaments import TournamentRules
from persistence.engine.database import Connection
from persistence.ids import new_id
from persistence.records import PlayerRecord, TeamRecord, TournamentRecord
from persistence.repositories import churches, decisions, documents, registration, team_updates
from persistence.repositories.decisions import LockedTeam
from persistence.repositories.team_updates import StoredPlayer
from resolvers.documents.jobs import owe_deletions
from resolvers.services import Services
from resolvers.teams.decisions import TeamActivity, read, record_action

_PERSON_FIELDS = ("name", "phone", "whatsapp", "email")
_PLAYER_FIELDS = {
    "name": "name",
    "role": "role",
    "jersey_number": "jerseyNumber",
    "date_of_birth": "dateOfBirth",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Edit:
    """A team's form as it is to be.

    `ids` says who each entry of the squad is, None for somebody new. `places` are the parts of
    the form that were given, and where the client gave them: what is wrong elsewhere was so
    before, and is not the client's to answer for. `issues` were found already. `documents` is how
    many are replaced with it, which is a change of the team too.
    """

    form: TeamForm
    ids: tuple[UUID | None, ...]
    places: Mapping[Path, Path]
    issues: tuple[Issue, ...] = ()
    documents: int = 0


def form_of(team: TeamRecord, *, consent_version: str | None) -> TeamForm:
    """What a team has, as the form that would be sent for it now."""
    return TeamForm(
        team_name=team.name,
        church_name=team.church.name,
        captain=_person_form(team.captain),
        vice_captain=_person_form(team.vice_captain),
        players=tuple(player_form(player) for player in team.players),
        consent_version=consent_version,
    )


def player_form(player: PlayerRecord) -> PlayerForm:
    born = player.date_of_birth
    return PlayerForm(
        name=player.name,
        role=player.role.value if player.role else None,
        jersey_number=player.jersey_number,
        date_of_birth=born.isoformat() if born else None,
    )


def require_live(status: TeamStatus, attempted: Operation) -> None:
    """Raises InvalidStatusTransition."""
    if status not in LIVE_STATUSES:
        raise refused(
            status, attempted, message="The team plays no part any more. Reopen it first."
        )


async def store(  # noqa: PLR0913, PLR0917 - what is changed, of which team, by whom
    services: Services,
    connection: Connection,
    decided: LockedTeam,
    before: TeamRecord,
    edit: Edit,
    tournament: TournamentRecord,
    act: TeamActivity,
) -> TeamRecord:
    """The team as it is afterwards; one that does not change keeps its version.

    Raises InvalidForm, ChurchLimitReached.
    """
    now = services.clock()
    rules, today = _rules(tournament.rules, before, edit), day_in(tournament.time_zone, now)
    checked = check(edit.form, rules, today=today)
    issues = first_issue_per_path((*remap_paths(checked.issues, edit.places), *edit.issues))
    if checked.entry is None or issues:
        raise InvalidForm(issues or checked.issues)
    entry = checked.entry
    church_id = await churches.find_by_name(
        connection, decided.tournament_id, entry.normalized_church_name
    )
    squad = _squad(before, entry, edit.ids, decided.next_position)
    church_name = _church_name(before, entry, is_moved=church_id != decided.church_id)
    differences = _differences(before, entry, squad, church_name=church_name)
    if not differences and not edit.documents:
        return before
    if church_id != decided.church_id:
        church_id = await _change_church(services, connection, decided, entry, tournament)
    elif church_name != before.church.name:
        await churches.rename(connection, decided.church_id, church_name)
    await team_updates.update_team(
        connection,
        decided,
        entry,
        church_id=church_id,
        next_position=max([decided.next_position, *(one.position + 1 for one in squad)]),
        now=now,
    )
    await _store_squad(services, connection, before, squad)
    summary = _summary(differences, edit.documents)
    await record_action(services, connection, decided, act, items=differences, changes=summary)
    return await read(connection, decided.id)


def _summary(differences: Sequence[Mapping[str, object]], documents: int) -> dict[str, object]:
    """Summarise an edit for the audit log: names of fields and a count, no values."""
    summary: dict[str, object] = {}
    if differences:
        summary["fields"] = [difference["field"] for difference in differences]
    if documents:
        summary["documents"] = documents
    return summary


def _rules(rules: TournamentRules, before: TeamRecord, edit: Edit) -> TournamentRules:
    """Rules that let a squad keep its size, or come nearer to limits that were changed since."""
    size, size_before = len(edit.form.players), len(before.players)
    if size >= size_before:
        rules = replace(rules, squad_min=min(rules.squad_min, size))
    if size <= size_before:
        rules = replace(rules, squad_max=max(rules.squad_max, size))
    return rules


def _squad(
    before: TeamRecord, entry: TeamEntry, ids: Sequence[UUID | None], next_position: int
) -> list[StoredPlayer]:
    positions = {player.id: player.position for player in before.players}
    squad = []
    for player_id, player in zip(ids, entry.players, strict=True):
        if player_id in positions:
            stored = StoredPlayer(id=player_id, position=positions[player_id], entry=player)
        else:
            stored = StoredPlayer(id=player_id or new_id(), position=next_position, entry=player)
            next_position += 1
        squad.append(stored)
    return squad


async def _store_squad(
    services: Services, connection: Connection, before: TeamRecord, squad: Sequence[StoredPlayer]
) -> None:
    known = {player.id: player for player in before.players}
    gone = known.keys() - {one.id for one in squad}
    if gone:
        given_up = await documents.delete_by_players(connection, gone)
        await owe_deletions(connection, given_up, team_id=before.id, now=services.clock())
        await team_updates.remove_players(connection, gone)
    changed = [one for one in squad if one.id in known and _player_changes(known[one.id], one)]
    if changed:
        await team_updates.update_players(connection, changed)
    added = [one for one in squad if one.id not in known]
    if added:
        await team_updates.add_players(connection, before.id, added)


async def _change_church(
    services: Services,
    connection: Connection,
    decided: LockedTeam,
    entry: TeamEntry,
    tournament: TournamentRecord,
) -> UUID:
    """The church that the entry names, with one team more; the old one has one less."""
    church = await registration.take_church_slot(
        connection, tournament, entry, now=services.clock()
    )
    if church is None:
        limit = tournament.rules.teams_per_church or 0
        raise ChurchLimitReached(limit=limit, registered=limit)
    await decisions.release_church_slot(connection, decided.church_id)
    return church.id


def _church_name(before: TeamRecord, entry: TeamEntry, *, is_moved: bool) -> str:
    """Return the church's name after the edit: an alias of the church does not rename it."""
    is_spelling = normalize(before.church.name) == entry.normalized_church_name
    return entry.church_name if is_moved or is_spelling else before.church.name


def _differences(
    before: TeamRecord, entry: TeamEntry, squad: Sequence[StoredPlayer], *, church_name: str
) -> list[dict[str, object]]:
    """Each field that differs, with its old and its new value."""
    found = [
        _change("teamName", before.name, entry.team_name),
        _change("churchName", before.church.name, church_name),
        *_person_changes("captain", before.captain, entry.captain),
        *_person_changes("viceCaptain", before.vice_captain, entry.vice_captain),
    ]
    known = {player.id: player for player in before.players}
    for one in squad:
        code = player_code(before.code, one.position)
        if one.id in known:
            found += [
                {**change, "field": f"{code}.{change['field']}"}
                for change in _player_changes(known[one.id], one)
            ]
        else:
            found.append(_change(code, None, one.entry.name))
    stay = {one.id for one in squad}
    found += [
        _change(player_code(before.code, player.position), player.name, None)
        for player in before.players
        if player.id not in stay
    ]
    return [change for change in found if change["old"] != change["new"]]


def _person_changes(prefix: str, old: PersonEntry, new: PersonEntry) -> list[dict[str, object]]:
    return [
        _change(f"{prefix}.{name}", getattr(old, name), getattr(new, name))
        for name in _PERSON_FIELDS
    ]


def _player_changes(old: PlayerRecord, new: StoredPlayer) -> list[dict[str, object]]:
    pairs = (
        _change(shown, _plain(getattr(old, name)), _plain(getattr(new.entry, name)))
        for name, shown in _PLAYER_FIELDS.items()
    )
    return [change for change in pairs if change["old"] != change["new"]]


def _change(name: str, old: object, new: object) -> dict[str, object]:
    return {"field": name, "old": old, "new": new}


def _plain(value: object) -> object:
    return value if value is None or isinstance(value, int | str) else str(value)


def _person_form(person: PersonEntry) -> PersonForm:
    return PersonForm(
        name=person.name, phone=person.phone, whatsapp=person.whatsapp, email=person.email
    )
