"""What a captain does with the team's secret."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from uuid import UUID

from domain.checks import Place, check_places
from domain.codes import player_code
from domain.documents import PLAYER_KINDS, TEAM_KINDS, DocumentKind, DocumentReview
from domain.errors import BadUserInput, InvalidForm, Unauthenticated
from domain.form import DocumentForm
from domain.issues import INPUT, Path
from domain.reasons import require_reason
from domain.status import TeamEvent, move
from persistence import documents, teams
from persistence.database import Connection
from persistence.records import Claim, DocumentRecord, TeamRecord
from resolvers.context import Services
from resolvers.deciding import Decision, carry_out, conclude, locked, read
from resolvers.documents import as_uploaded, uploads_named
from resolvers.secrets import is_manage_token

ACTOR = "captain"

_TOKEN = re.compile(r"icm_([0-9a-f]{32})_([0-9]{1,9})_[\w-]{43}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Resubmission:
    """New documents of the team, and of players by their codes."""

    expected_version: int
    documents: tuple[DocumentForm, ...]
    players: Sequence[tuple[str, tuple[DocumentForm, ...]]]


async def my_team(services: Services, token: str | None) -> TeamRecord:
    """The team whose secret it is. Raises Unauthenticated."""
    match = _TOKEN.fullmatch(token or "")
    if match is None or not is_manage_token(services.secrets, match[0]):
        raise Unauthenticated("The team's token is missing or not valid.")
    record = await services.database.read(partial(teams.find_by_id, team_id=UUID(match[1])))
    if record is None or record.manage_generation != int(match[2]):
        raise Unauthenticated("The team's token is missing or not valid.")
    return record


async def withdraw(
    services: Services, token: str | None, *, expected_version: int, reason: str
) -> TeamRecord:
    """Raises Unauthenticated, InvalidForm, StaleVersion, InvalidStatusTransition."""
    team = await my_team(services, token)
    require_reason(reason, "reason")
    decision = Decision(
        reference=team.id.hex,
        expected_version=expected_version,
        event=TeamEvent.WITHDRAW,
        reason=reason,
    )
    return await services.database.run(partial(carry_out, services, decision, actor=ACTOR))


async def resubmit(services: Services, token: str | None, wanted: Resubmission) -> TeamRecord:
    """Put new documents in the place of rejected and missing ones, and hand the team in again.

    Raises Unauthenticated, BadUserInput, InvalidForm, StaleVersion, InvalidStatusTransition.
    """
    team = await my_team(services, token)
    given = [wanted.documents, *(named for _, named in wanted.players)]
    known = await uploads_named(services, given)
    return await services.database.run(partial(_resubmit, services, team.id, wanted, known))


async def _resubmit(
    services: Services,
    team_id: UUID,
    wanted: Resubmission,
    known: Mapping[str, DocumentRecord],
    connection: Connection,
) -> TeamRecord:
    decided = await locked(connection, team_id.hex, wanted.expected_version)
    status = move(decided.status, TeamEvent.RESUBMIT)
    team = await read(connection, team_id)
    places = _places(team, wanted)
    issues = check_places([place for place, _ in places], as_uploaded(known))
    if issues:
        raise InvalidForm(issues)
    claims = [
        Claim(document_id=known[document.document_id].id, player_id=player_id)
        for place, player_id in places
        for document in place.documents
    ]
    for place, player_id in places:
        kinds = [document.kind for document in place.documents]
        await documents.supersede(connection, team_id, player_id, kinds)
    if claims and not await documents.claim(connection, team_id, claims, now=services.clock()):
        raise BadUserInput("One of the documents was used elsewhere meanwhile.")
    decision = Decision(
        reference=team_id.hex, expected_version=wanted.expected_version, event=TeamEvent.RESUBMIT
    )
    return await conclude(services, connection, decided, decision, status, actor=ACTOR)


def _places(team: TeamRecord, wanted: Resubmission) -> list[tuple[Place, UUID | None]]:
    """Every place of the team, with what is given for it, and whose it is."""
    codes = {player_code(team.code, player.position): player for player in team.players}
    given = dict(wanted.players)
    if len(given) != len(wanted.players) or not given.keys() <= codes.keys():
        raise BadUserInput("Each entry of players names another player of the team by code.")
    order = {code: index for index, (code, _) in enumerate(wanted.players)}
    required = team.required_documents
    places: list[tuple[Place, UUID | None]] = [
        (
            _place((*INPUT, "documents"), wanted.documents, TEAM_KINDS, team.documents, required),
            None,
        )
    ]
    for code, player in codes.items():
        path: Path = (*INPUT, "players", order.get(code, len(order) + player.position))
        place = _place(
            (*path, "documents"), given.get(code, ()), PLAYER_KINDS, player.documents, required
        )
        places.append((place, player.id))
    return places


def _place(
    path: Path,
    given: tuple[DocumentForm, ...],
    kinds: tuple[DocumentKind, ...],
    present: Sequence[DocumentRecord],
    required: Sequence[DocumentKind],
) -> Place:
    """Accepted documents, and those nobody has looked at, stay."""
    reviews = {document.kind: document.review for document in present}
    free = [kind for kind in kinds if reviews.get(kind) in (None, DocumentReview.REJECTED)]
    missing = tuple(
        kind for kind in free if kind in required or reviews.get(kind) == DocumentReview.REJECTED
    )
    return Place(path=path, documents=given, kinds=free, missing=missing)
