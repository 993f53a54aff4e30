"""Links that give access for a limited time, in the name of the organiser who created them."""

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from domain.auth.roles import SYSTEM, Caller, CallerKind, Role
from domain.errors.exceptions import NotFound
from persistence.unit_of_work import UnitOfWork
from resolvers.security.secrets import InvalidSignature, sign, verify_signed
from resolvers.services import Services

EXPIRED = "This link has expired. Ask for another one."


@dataclass(frozen=True, slots=True, kw_only=True)
class SignedLink:
    """A verified link.

    `organiser_id` is the creator's, None for the system; `role` is the role that the creator had
    then. `values` are the texts that were signed.
    """

    organiser_id: UUID | None
    role: Role
    values: list[Any]


def sign_link(
    services: Services, caller: Caller, purpose: str, *values: str
) -> tuple[str, datetime]:
    """Return the signed text and its expiry. The link never has more rights than the caller."""
    expires_at = (services.clock() + services.storage.link_lifetime).replace(microsecond=0)
    organiser = caller.organiser_id.hex if caller.organiser_id else SYSTEM.actor
    role = caller.role or Role.OWNER
    signed: list[str | int] = [organiser, role.value, int(expires_at.timestamp()), *values]
    return sign(services.secrets, purpose, signed), expires_at


def read_link(services: Services, purpose: str, text: str) -> SignedLink:
    """Raises InvalidSignature, NotFound."""
    signed = verify_signed(services.secrets, purpose, text)
    if signed is None:
        raise InvalidSignature("There is no such link.")
    organiser, role, expires_at, *values = signed
    if services.clock() >= datetime.fromtimestamp(expires_at, UTC):
        raise NotFound(EXPIRED)
    organiser_id = None if organiser == SYSTEM.actor else UUID(organiser)
    return SignedLink(organiser_id=organiser_id, role=Role(role), values=values)


async def resolve_link_caller(uow: UnitOfWork, link: SignedLink, role: Role) -> Caller:
    """Return the link's creator with the lower of the link's and the present role.

    Raises NotFound if the creator's present role is below `role`.
    """
    if link.organiser_id is None:
        return SYSTEM
    organiser = await uow.organisers.find(link.organiser_id)
    if organiser is None or not organiser.role.at_least(role):
        raise NotFound(EXPIRED)
    return Caller(
        kind=CallerKind.ORGANISER,
        organiser_id=organiser.id,
        role=link.role.lower_of(organiser.role),
    )
