"""Replacement of rejected and missing documents by captains."""

from collections.abc import Collection, Mapping, Sequence
from uuid import UUID

from domain.documents import DocumentKind, DocumentReview
from domain.errors.exceptions import InvalidForm, ServiceUnavailable
from domain.errors.issue_codes import IssueCode
from domain.errors.issues import INPUT, MAX_ISSUES, Issue, Path, make_issue
from domain.ids import parse_uuid
from domain.registration.forms import DocumentForm
from domain.registration.validation import DocumentList, validate_document_lists
from persistence.records import DocumentClaim, DocumentRecord
from persistence.unit_of_work import UnitOfWork
from resolvers.documents.links import upload_refs
from resolvers.services import Services

# A list and the id of its player; None for the list of the team.
PlayerDocumentList = tuple[DocumentList, UUID | None]


def build_document_list(
    path: Path,
    forms: tuple[DocumentForm, ...],
    kinds: tuple[DocumentKind, ...],
    present: Sequence[DocumentRecord],
    required: Sequence[DocumentKind],
) -> DocumentList:
    """Build a list that takes only missing and rejected kinds; the other documents stay."""
    reviews = {document.kind: document.review for document in present}
    free = [kind for kind in kinds if reviews.get(kind) in (None, DocumentReview.REJECTED)]
    missing = tuple(
        kind for kind in free if kind in required or reviews.get(kind) == DocumentReview.REJECTED
    )
    return DocumentList(path=path, documents=forms, kinds=free, missing=missing)


def require_known_players(team_codes: Collection[str], codes: Sequence[str | None]) -> None:
    """Raises InvalidForm for codes that the team does not have and for repeated codes."""
    issues: list[Issue] = []
    unused = set(team_codes)
    for index, code in enumerate(codes):
        if code is not None and code not in unused:
            path = (*INPUT, "players", index, "playerCode")
            issues.append(make_issue(path, IssueCode.PLAYER_UNKNOWN))
        unused.discard(code or "")
    if issues:
        raise InvalidForm(issues[:MAX_ISSUES])


def replacement_issues(
    lists: Sequence[PlayerDocumentList], uploads: Mapping[str, DocumentRecord]
) -> tuple[Issue, ...]:
    return validate_document_lists(
        [document_list for document_list, _ in lists], upload_refs(uploads)
    )


async def replace_documents(
    services: Services,
    uow: UnitOfWork,
    team_id: UUID,
    lists: Sequence[PlayerDocumentList],
    uploads: Mapping[str, DocumentRecord],
) -> None:
    """Replace documents in lists without `replacement_issues`.

    Raises InvalidForm for documents that were claimed or deleted meanwhile.
    """
    claims = []
    for document_list, player_id in lists:
        kinds = [document.kind for document in document_list.documents]
        if kinds:
            await uow.documents.supersede(team_id, player_id, kinds)
        claims += [
            DocumentClaim(document_id=uploads[document.document_id].id, player_id=player_id)
            for document in document_list.documents
        ]
    if claims and not await uow.documents.claim(team_id, claims, now=services.clock()):
        raise await _lost_claim(uow, team_id, lists)


async def _lost_claim(
    uow: UnitOfWork, team_id: UUID, lists: Sequence[PlayerDocumentList]
) -> InvalidForm | ServiceUnavailable:
    """The error that names the documents which another request has used or deleted meanwhile."""
    references = [
        ((*document_list.path, number, "documentId"), parse_uuid(document.document_id))
        for document_list, _ in lists
        for number, document in enumerate(document_list.documents)
    ]
    ids = {document_id for _, document_id in references if document_id is not None}
    records = await uow.documents.list_by_id(document_ids=ids)
    record_by_id = {record.id: record for record in records}
    issues: list[Issue] = []
    for path, document_id in references:
        record = record_by_id.get(document_id) if document_id is not None else None
        if record is None:
            issues.append(make_issue(path, IssueCode.DOCUMENT_UNKNOWN))
        elif record.team_id not in (None, team_id):
            issues.append(make_issue(path, IssueCode.DOCUMENT_ALREADY_USED))
    return InvalidForm(issues[:MAX_ISSUES]) if issues else ServiceUnavailable()
