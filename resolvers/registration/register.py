"""Registration of a team: validate the form, then store everything in one statement."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import partial

from domain.datetimes import local_date
from domain.errors.base import DomainError
from domain.errors.exceptions import (
    BadUserInput,
    ChurchLimitReached,
    IdempotencyKeyReused,
    InvalidForm,
    MalformedRequest,
    ServiceUnavailable,
    TeamNotFound,
    TournamentFull,
)
from domain.errors.issue_codes import IssueCode
from domain.errors.issues import (
    INPUT,
    Issue,
    duplicate_captain_email,
    duplicate_captain_phone,
    duplicate_team_name,
    first_issue_per_path,
    make_issue,
)
from domain.registration.forms import DocumentForm, TeamForm, ValidTeam
from domain.registration.validation import FormValidation, validate_documents, validate_form
from domain.teams.status import TeamStatus
from domain.tournaments import (
    RegistrationState,
    registration_state,
    require_church_capacity,
    require_open,
    require_tournament_capacity,
)
from observability.logging_setup import log_fast
from persistence import lookups
from persistence.engine.database import Database
from persistence.fast import register_team as fast_registration
from persistence.fast.register_team import (
    ChurchFull,
    DocumentsUnavailable,
    RegistrationRows,
    TournamentUnavailable,
)
from persistence.ids import new_id, new_ids
from persistence.records import (
    ChurchRecord,
    DocumentClaim,
    DocumentRecord,
    IdempotencyEntry,
    PlayerRecord,
    TakenValues,
    TeamRecord,
    TournamentRecord,
)
from resolvers.documents.links import form_uploads, upload_refs
from resolvers.security.secrets import (
    FIRST_GENERATION,
    fingerprint,
    manage_token,
    verify_fingerprint,
)
from resolvers.services import Services

_IDEMPOTENCY_KEY = re.compile(r"[\x20-\x7e]{8,255}")
_KEY_PATH = (*INPUT, "idempotencyKey")


@dataclass(frozen=True, slots=True, kw_only=True)
class RegistrationResult:
    """A registered team.

    `is_replay`: the key was used for the same form before, and nothing was written.
    `shows_personal_data` is False if the manage token has been reissued since: a client that can
    only repeat the form must not read the team's present contacts or the organisers' messages.
    """

    team: TeamRecord
    manage_token: str
    is_replay: bool
    shows_personal_data: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class DryRunResult:
    """Issues of a form, and codes of errors that any registration of its church would get."""

    issues: tuple[Issue, ...]
    blockers: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class _CheckedForm:
    """A form checked against the rules. `uploads` are by id as written in the form."""

    validation: FormValidation
    uploads: Mapping[str, DocumentRecord]
    document_issues: tuple[Issue, ...]
    is_refused: bool


def resolve_idempotency_key(header: str | None, argument: str | None) -> str | None:
    """Return the key from the header or the argument.

    Raises BadUserInput, and MalformedRequest where the header is wrong.
    """
    if header is not None and argument is not None and header != argument:
        raise BadUserInput(
            make_issue(_KEY_PATH, IssueCode.IDEMPOTENCY_KEYS_DIFFER),
            message="The Idempotency-Key header and input.idempotencyKey differ.",
        )
    key = argument if argument is not None else header
    if key is not None and not _IDEMPOTENCY_KEY.fullmatch(key):
        wrong = make_issue(_KEY_PATH, IssueCode.IDEMPOTENCY_KEY_INVALID, {"min": 8, "max": 255})
        if argument is None:
            raise MalformedRequest(wrong.message)
        raise BadUserInput(wrong)
    return key


async def register_team(
    services: Services, form: TeamForm, *, key: str | None, request_id: str
) -> RegistrationResult:
    """Store a new team, or return the team that the key registered before.

    Raises IdempotencyKeyReused, IdempotencyInProgress, RegistrationNotOpen, RegistrationClosed,
    InvalidForm, ChurchLimitReached, TournamentFull.
    """
    now = services.clock()
    tournament = await lookups.get_active_tournament(services.database)
    checked = await _check_form(services, form, tournament, now)
    if checked.is_refused:
        # A valid form finds out by storing that its key was used. A refused form is not stored, so
        # the key is looked up here.
        replay = await _replay(services, form, key, now)
        if replay is not None:
            return replay
    validation = checked.validation
    require_open(tournament.rules, now)
    if validation.team is None or checked.document_issues:
        raise await _rejection(services, tournament, validation, checked.document_issues)
    players = player_records(validation.team, form, checked.uploads)
    documents = claimed_documents(form.documents, checked.uploads)
    digest = fingerprint(services.secrets, form) if key is not None else b""
    rows = RegistrationRows(
        tournament=tournament,
        entry=validation.team,
        players=players,
        claims=document_claims(documents, players),
        key=key,
        idempotency=IdempotencyEntry(fingerprint=digest, object_id=new_id()),
        now=now,
        expires_at=now + services.idempotency_ttl,
        request_id=request_id,
    )
    try:
        team = await insert_registration(services.database, rows, documents)
    except (InvalidForm, DocumentsUnavailable) as error:
        raise await _conflict(services, form, tournament, now, error) from None
    if team is None:
        replay = await _replay(services, form, key, now)
        if replay is None:
            raise ServiceUnavailable
        return replay
    log_fast(__name__, "team_registered", team_id=str(team.id), team=team.code)
    token = manage_token(services.secrets, team.id)
    return RegistrationResult(team=team, manage_token=token, is_replay=False)


async def validate_team(services: Services, form: TeamForm) -> DryRunResult:
    """Check the form like `register_team`, except for duplicate contacts. Write nothing.

    Telling whether a captain's e-mail or phone number is registered would disclose it.
    """
    now = services.clock()
    tournament = await lookups.get_active_tournament(services.database)
    validation = validate_form(form, tournament.rules, today=local_date(tournament.time_zone, now))
    taken = await services.database.read(
        lambda uow: uow.registration.find_taken_values(keys=validation.keys)
    )
    uploads = upload_refs(await form_uploads(services, form))
    issues = (*validation.issues, *validate_documents(form, tournament.rules, uploads))
    if taken.has_team_name:
        issues = (*issues, duplicate_team_name())
    return DryRunResult(
        issues=first_issue_per_path(issues), blockers=_blockers(tournament, taken, now)
    )


async def insert_registration(
    database: Database, rows: RegistrationRows, documents: tuple[DocumentRecord, ...]
) -> TeamRecord | None:
    """Return the stored team; None if the idempotency key was used before.

    Raises ChurchLimitReached, TournamentFull, RegistrationNotOpen, RegistrationClosed,
    InvalidForm, DocumentsUnavailable, IdempotencyInProgress.
    """
    # The team as the response shows it, except for code and church, which the statement returns.
    preview = _team_record(rows, documents, code="", church=_placeholder_church(rows.tournament))
    try:
        result = await fast_registration.store(database, rows, answer=preview)
    except ChurchFull as error:
        limit = rows.tournament.rules.teams_per_church or 0
        raise ChurchLimitReached(limit=limit, registered=limit) from error
    except TournamentUnavailable as error:
        raise await _unavailable_error(database, rows) from error
    if result is None:
        return None
    return _team_record(rows, documents, code=result.code, church=result.church)


def player_records(
    entry: ValidTeam, form: TeamForm, uploads: Mapping[str, DocumentRecord]
) -> tuple[PlayerRecord, ...]:
    ids = new_ids(len(entry.players))
    return tuple(
        PlayerRecord(
            id=ids[position - 1],
            position=position,
            name=player.name,
            role=player.role,
            jersey_number=player.jersey_number,
            date_of_birth=player.date_of_birth,
            documents=claimed_documents(player_form.documents, uploads),
        )
        for position, (player, player_form) in enumerate(
            zip(entry.players, form.players, strict=True), start=1
        )
    )


def claimed_documents(
    forms: tuple[DocumentForm, ...], uploads: Mapping[str, DocumentRecord]
) -> tuple[DocumentRecord, ...]:
    return tuple(uploads[document.document_id] for document in forms)


def document_claims(
    documents: Iterable[DocumentRecord], players: Iterable[PlayerRecord]
) -> tuple[DocumentClaim, ...]:
    """Claim the team's own documents and those of its players."""
    return (
        *(DocumentClaim(document_id=document.id, player_id=None) for document in documents),
        *(
            DocumentClaim(document_id=document.id, player_id=player.id)
            for player in players
            for document in player.documents
        ),
    )


def _placeholder_church(tournament: TournamentRecord) -> ChurchRecord:
    return ChurchRecord(id=tournament.id, name="", taken=0, limit=tournament.rules.teams_per_church)


def _team_record(
    rows: RegistrationRows,
    documents: tuple[DocumentRecord, ...],
    *,
    code: str,
    church: ChurchRecord,
) -> TeamRecord:
    entry = rows.entry
    return TeamRecord(
        id=rows.idempotency.object_id,
        code=code,
        name=entry.team_name,
        status=TeamStatus.PENDING,
        version=1,
        manage_generation=FIRST_GENERATION,
        registered_at=rows.now,
        updated_at=rows.now,
        church=church,
        captain=entry.captain,
        vice_captain=entry.vice_captain,
        players=rows.players,
        documents=documents,
        required_documents=rows.tournament.rules.required_documents,
    )


async def _check_form(
    services: Services, form: TeamForm, tournament: TournamentRecord, now: datetime
) -> _CheckedForm:
    validation = validate_form(form, tournament.rules, today=local_date(tournament.time_zone, now))
    uploads = await form_uploads(services, form)
    issues = validate_documents(form, tournament.rules, upload_refs(uploads))
    # Capacity is checked when the row is locked.
    state = registration_state(tournament.rules, taken=tournament.taken, now=now)
    is_closed = state in {RegistrationState.NOT_OPEN, RegistrationState.CLOSED}
    return _CheckedForm(
        validation=validation,
        uploads=uploads,
        document_issues=issues,
        is_refused=is_closed or bool(validation.issues or issues),
    )


async def _replay(
    services: Services, form: TeamForm, key: str | None, now: datetime
) -> RegistrationResult | None:
    """Return the team that the key registered; None for an unused key.

    Raises IdempotencyKeyReused, TeamNotFound.
    """
    entry = await lookups.find_idempotency_entry(services.database, key, now=now) if key else None
    if entry is None:
        return None
    if not verify_fingerprint(services.secrets, form, entry.fingerprint):
        raise IdempotencyKeyReused
    team = await services.database.read(lambda uow: uow.teams.find_by_id(team_id=entry.object_id))
    if team is None:
        raise TeamNotFound
    token = manage_token(services.secrets, team.id)
    return RegistrationResult(
        team=team,
        manage_token=token,
        is_replay=True,
        shows_personal_data=team.manage_generation == FIRST_GENERATION,
    )


async def _conflict(
    services: Services,
    form: TeamForm,
    tournament: TournamentRecord,
    now: datetime,
    error: InvalidForm | DocumentsUnavailable,
) -> DomainError:
    """Explain which name, contact or document has been taken since the form was checked."""
    checked = await _check_form(services, form, tournament, now)
    rejection = await _rejection(services, tournament, checked.validation, checked.document_issues)
    if rejection.issues:
        return rejection
    # The conflict vanished on re-check; a retry may succeed.
    return error if isinstance(error, InvalidForm) else ServiceUnavailable()


async def _unavailable_error(database: Database, rows: RegistrationRows) -> DomainError:
    """Explain why the tournament that was open on reading its rules gave no team number."""
    tournament = await lookups.get_active_tournament(database)
    if tournament.id != rows.tournament.id:
        # Another season has been opened; a retry registers for it.
        return ServiceUnavailable()
    try:
        require_open(tournament.rules, rows.now)
    except DomainError as error:
        return error
    return TournamentFull(capacity=tournament.rules.capacity or 0)


async def _rejection(
    services: Services,
    tournament: TournamentRecord,
    validation: FormValidation,
    document_issues: tuple[Issue, ...],
) -> DomainError:
    """Return the error for a refused form.

    A form without issues of its own is checked for capacity first; duplicates come last.
    """
    taken = await services.database.read(
        lambda uow: uow.registration.find_taken_values(keys=validation.keys)
    )
    try:
        if not validation.issues:
            require_church_capacity(tournament.rules, taken.church_taken)
            require_tournament_capacity(tournament.rules, taken.taken)
    except (ChurchLimitReached, TournamentFull) as error:
        return error
    return InvalidForm(
        first_issue_per_path((*validation.issues, *document_issues, *_duplicates(taken)))
    )


def _duplicates(taken: TakenValues) -> tuple[Issue, ...]:
    flags = (
        (taken.has_team_name, duplicate_team_name),
        (taken.has_captain_phone, duplicate_captain_phone),
        (taken.has_captain_email, duplicate_captain_email),
    )
    return tuple(issue() for is_taken, issue in flags if is_taken)


def _blockers(tournament: TournamentRecord, taken: TakenValues, now: datetime) -> tuple[str, ...]:
    checks = (
        partial(require_open, tournament.rules, now),
        partial(require_church_capacity, tournament.rules, taken.church_taken),
        partial(require_tournament_capacity, tournament.rules, taken.taken),
    )
    blockers = []
    for require in checks:
        try:
            require()
        except DomainError as error:
            blockers.append(error.code)
    return tuple(blockers)
