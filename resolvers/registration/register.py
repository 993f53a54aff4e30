"""Registering a team: the rules in their order, then one transaction."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import partial

from domain.datetimes import day_in
from domain.errors.exceptions import (
    BadUserInput,
    ChurchLimitReached,
    DomainError,
    ErrorCode,
    IdempotencyKeyReused,
    InvalidForm,
    Issue,
    IssueCode,
    MalformedRequest,
    ServiceUnavailable,
    TeamNotFound,
    TournamentFull,
)
from domain.errors.issues import INPUT, issue
from domain.registration.forms import TeamForm
from domain.registration.validation import (
    FormValidation,
    check,
    check_documents,
    duplicate_captain_email,
    duplicate_captain_phone,
    duplicate_team_name,
    first_issue_per_path,
)
from domain.tournaments import (
    RegistrationState,
    registration_state,
    require_church_capacity,
    require_open,
    require_tournament_capacity,
)
from observability.logging_setup import log_fast
from persistence.fast.register_team import DocumentsUnavailable, RegistrationRows
from persistence.ids import new_id
from persistence.records import (
    DocumentRecord,
    IdempotencyEntry,
    TakenValues,
    TeamRecord,
    TournamentRecord,
)
from persistence.repositories import idempotency, registration, teams, tournaments
from resolvers.documents.links import as_uploaded, claimable
from resolvers.registration.attempt import Attempt, claimed, claims_of, squad
from resolvers.security.secrets import (
    FIRST_GENERATION,
    fingerprint,
    manage_token,
    verify_fingerprint,
)
from resolvers.services import Services

_KEY = re.compile(r"[\x20-\x7e]{8,255}")
_KEY_PATH = (*INPUT, "idempotencyKey")


@dataclass(frozen=True, slots=True, kw_only=True)
class RegistrationResult:
    """`is_replay`: the key had been used for this form before, nothing was written.

    Without `shows_people` the captain has been given another token since: whoever repeats the form
    is not told of the people that the team has now, nor of what organisers said to them.
    """

    team: TeamRecord
    manage_token: str
    is_replay: bool
    shows_people: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Validation:
    """What registering the form would be refused for now."""

    issues: tuple[Issue, ...]
    blockers: tuple[ErrorCode, ...]


def resolve_idempotency_key(header: str | None, argument: str | None) -> str | None:
    """The one idempotency key of a request.

    Raises BadUserInput, and MalformedRequest where the header is wrong.
    """
    if header is not None and argument is not None and header != argument:
        raise BadUserInput(
            issue(_KEY_PATH, IssueCode.IDEMPOTENCY_KEYS_DIFFER),
            message="The Idempotency-Key header and input.idempotencyKey differ.",
        )
    key = argument if argument is not None else header
    if key is not None and not _KEY.fullmatch(key):
        wrong = issue(_KEY_PATH, IssueCode.IDEMPOTENCY_KEY_INVALID, {"min": 8, "max": 255})
        if argument is None:
            raise MalformedRequest(wrong.message)
        raise BadUserInput(wrong)
    return key


async def register_team(
    services: Services, form: TeamForm, *, key: str | None, request_id: str
) -> RegistrationResult:
    """Store a new team, or answer again what the key was answered before.

    Raises IdempotencyKeyReused, IdempotencyInProgress, RegistrationNotOpen, RegistrationClosed,
    InvalidForm, ChurchLimitReached, TournamentFull.
    """
    now = services.clock()
    seen = await _look(
        services, form, await tournaments.fetch_active_cached(services.database), now
    )
    if seen.is_refused:
        # What a key is used for is found out by storing, where that is what comes next.
        replayed = await _replay(services, form, key, now)
        if replayed is not None:
            return replayed
        seen = await _look(services, form, await tournaments.fetch_active(services.database), now)
    tournament, checked, known = seen.tournament, seen.checked, seen.known
    require_open(tournament.rules, now)
    if checked.entry is None or seen.document_issues:
        raise await _refusal(services, tournament, checked, seen.document_issues)
    players, documents = squad(checked.entry, form, known), claimed(form.documents, known)
    used = fingerprint(services.secrets, form) if key is not None else b""
    stored = RegistrationRows(
        tournament=tournament,
        entry=checked.entry,
        players=players,
        claims=claims_of(documents, players),
        key=key,
        idempotency=IdempotencyEntry(fingerprint=used, team_id=new_id()),
        now=now,
        expires_at=now + services.idempotency_kept,
        request_id=request_id,
    )
    attempt = Attempt(registration=stored, documents=documents)
    try:
        outcome = await attempt.store(services.database)
    except (InvalidForm, DocumentsUnavailable) as overtaken:
        seen = await _look(services, form, tournament, now)
        refusal = await _refusal(services, tournament, checked, seen.document_issues)
        raise (refusal if refusal.issues else _race_error(overtaken)) from None
    if outcome is None:
        replayed = await _replay(services, form, key, now)
        if replayed is None:
            raise ServiceUnavailable
        return replayed
    log_fast(__name__, "team_registered", team_id=str(outcome.id), team=outcome.code)
    token = manage_token(services.secrets, outcome.id)
    return RegistrationResult(team=outcome, manage_token=token, is_replay=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Seen:
    """A form under the rules of a tournament; `known` are uploads that it names."""

    tournament: TournamentRecord
    checked: FormValidation
    known: Mapping[str, DocumentRecord]
    document_issues: tuple[Issue, ...]
    is_refused: bool


async def _look(
    services: Services, form: TeamForm, tournament: TournamentRecord, now: datetime
) -> _Seen:
    checked = check(form, tournament.rules, today=day_in(tournament.time_zone, now))
    known = await claimable(services, form)
    issues = check_documents(form, tournament.rules, as_uploaded(known))
    # Whether it is full, its row says when it is locked.
    state = registration_state(tournament.rules, taken=tournament.taken, now=now)
    is_closed = state in {RegistrationState.NOT_OPEN, RegistrationState.CLOSED}
    return _Seen(
        tournament=tournament,
        checked=checked,
        known=known,
        document_issues=issues,
        is_refused=is_closed or bool(checked.issues or issues),
    )


async def validate_team(services: Services, form: TeamForm) -> Validation:
    """All that register_team would say, but for whom else has registered. Writes nothing."""
    now = services.clock()
    tournament = await tournaments.fetch_active(services.database)
    checked = check(form, tournament.rules, today=day_in(tournament.time_zone, now))
    found = await services.database.read(partial(registration.find_taken_values, keys=checked.keys))
    known = as_uploaded(await claimable(services, form))
    issues = (*checked.issues, *check_documents(form, tournament.rules, known))
    if found.has_team_name:
        issues = (*issues, duplicate_team_name())
    return Validation(
        issues=first_issue_per_path(issues),
        blockers=_blockers(tournament, found, now),
    )


async def _replay(
    services: Services, form: TeamForm, key: str | None, now: datetime
) -> RegistrationResult | None:
    """What the key was answered before; None for one that was not used."""
    remembered = await idempotency.find(services.database, key, now=now) if key else None
    if remembered is None:
        return None
    if not verify_fingerprint(services.secrets, form, remembered.fingerprint):
        raise IdempotencyKeyReused
    team = await services.database.read(partial(teams.find_by_id, team_id=remembered.team_id))
    if team is None:
        raise TeamNotFound
    token = manage_token(services.secrets, team.id)
    return RegistrationResult(
        team=team,
        manage_token=token,
        is_replay=True,
        shows_people=team.manage_generation == FIRST_GENERATION,
    )


def _race_error(overtaken: InvalidForm | DocumentsUnavailable) -> DomainError:
    """For what is over when it is looked at again: the same form may be taken now."""
    return overtaken if isinstance(overtaken, InvalidForm) else ServiceUnavailable()


async def _refusal(
    services: Services,
    tournament: TournamentRecord,
    checked: FormValidation,
    document_issues: tuple[Issue, ...],
) -> DomainError:
    """Why the form is refused: its own issues first, then places, then what is taken."""
    found = await services.database.read(partial(registration.find_taken_values, keys=checked.keys))
    try:
        if not checked.issues:
            require_church_capacity(tournament.rules, found.church_taken)
            require_tournament_capacity(tournament.rules, found.taken)
    except (ChurchLimitReached, TournamentFull) as full:
        return full
    return InvalidForm(
        first_issue_per_path((*checked.issues, *document_issues, *_duplicates(found)))
    )


def _duplicates(found: TakenValues) -> tuple[Issue, ...]:
    flags = (
        (found.has_team_name, duplicate_team_name),
        (found.has_captain_phone, duplicate_captain_phone),
        (found.has_captain_email, duplicate_captain_email),
    )
    return tuple(issue() for is_taken, issue in flags if is_taken)


def _blockers(
    tournament: TournamentRecord, found: TakenValues, now: datetime
) -> tuple[ErrorCode, ...]:
    requirements = (
        partial(require_open, tournament.rules, now),
        partial(require_church_capacity, tournament.rules, found.church_taken),
        partial(require_tournament_capacity, tournament.rules, found.taken),
    )
    blockers = []
    for requirement in requirements:
        try:
            requirement()
        except DomainError as refusal:
            blockers.append(refusal.code)
    return tuple(blockers)
