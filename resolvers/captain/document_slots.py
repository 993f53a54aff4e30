"""Documents in the place of rejected and missing ones."""

from collections.abc import Collection, Mapping, Sequence
from uuid import UUID

from domain.documents import DocumentKind, DocumentReview
from domain.errors.exceptions import InvalidForm, Issue, IssueCode, ServiceUnavailable
from domain.errors.issues import INPUT, ISSUES_MAX, Path, issue
from domain.ids import read_id
from domain.registration.forms import DocumentForm
from domain.registration.validation import DocumentSlot, validate_slots
from persistence.engine.database import Connection
from persistence.records import DocumentClaim, DocumentRecord
from persistence.repositories import documents
from resolvers.documents.links import as_uploaded
from resolvers.services import Services

# A place, and the player whose it is; without one it is the team's.
OwnedPlace = tuple[DocumentSlot, UUID | None]


def place(
    path: Path,
    given: tuple[DocumentForm, ...],
    kinds: tuple[DocumentKind, ...],
    present: Sequence[DocumentRecord],
    required: Sequence[DocumentKind],
) -> DocumentSlot:
    """Accepted documents, and those nobody has looked at, stay."""
    reviews = {document.kind: document.review for document in present}
    free = [kind for kind in kinds if reviews.get(kind) in (None, DocumentReview.REJECTED)]
    missing = tuple(
        kind for kind in free if kind in required or reviews.get(kind) == DocumentReview.REJECTED
    )
    return DocumentSlot(path=path, documents=given, kinds=free, missing=missing)


def require_players(known: Collection[str], codes: Sequence[str | None]) -> None:
    """Raises InvalidForm where an entry of players names none of the team, or one again."""
    issues: list[Issue] = []
    free = set(known)
    for index, code in enumerate(codes):
        if code is not None and code not in free:
            path = (*INPUT, "players", index, "playerCode")
            issues.append(issue(path, IssueCode.PLAYER_UNKNOWN))
        free.discard(code or "")
    if issues:
        raise InvalidForm(issues[:ISSUES_MAX])


def replacement_issues(
    places: Sequence[OwnedPlace], known: Mapping[str, DocumentRecord]
) -> tuple[Issue, ...]:
    return validate_slots([one for one, _ in places], as_uploaded(known))


async def replace_documents(
    services: Services,
    connection: Connection,
    team_id: UUID,
    places: Sequence[OwnedPlace],
    known: Mapping[str, DocumentRecord],
) -> None:
    """What has no `replacement_issues`. Raises InvalidForm where it has some meanwhile."""
    claims = []
    for one, player_id in places:
        kinds = [document.kind for document in one.documents]
        if kinds:
            await documents.supersede(connection, team_id, player_id, kinds)
        claims += [
            DocumentClaim(document_id=known[document.document_id].id, player_id=player_id)
            for document in one.documents
        ]
    if claims and not await documents.claim(connection, team_id, claims, now=services.clock()):
        raise await _overtaken(connection, team_id, places)


async def _overtaken(
    connection: Connection, team_id: UUID, places: Sequence[OwnedPlace]
) -> InvalidForm | ServiceUnavailable:
    """The refusal that names what another request has used or deleted in the meantime."""
    named = [
        ((*one.path, number, "documentId"), read_id(document.document_id))
        for one, _ in places
        for number, document in enumerate(one.documents)
    ]
    ids = {document_id for _, document_id in named if document_id is not None}
    records = {one.id: one for one in await documents.list_by_id(connection, document_ids=ids)}
    issues: list[Issue] = []
    for path, document_id in named:
        record = records.get(document_id) if document_id is not None else None
        if record is None:
            issues.append(issue(path, IssueCode.DOCUMENT_UNKNOWN))
        elif record.team_id not in (None, team_id):
            issues.append(issue(path, IssueCode.DOCUMENT_ALREADY_USED))
    return InvalidForm(issues[:ISSUES_MAX]) if issues else ServiceUnavailable()
