"""Organisers as they see themselves: signing in, signing out, their sessions."""

from datetime import datetime
from functools import partial
from typing import Annotated, Self

import strawberry
from strawberry import argument, field

from persistence.records import OrganiserRecord, SessionRecord
from resolvers.accounts import sessions as accounts
from schema.context import Info
from schema.enums import Role
from schema.idempotency import refuse_idempotency_key
from schema.node import Node, parse_id
from schema.permissions import require_caller, sign_in_attempts_counted
from schema.scalars import EmailAddress


@strawberry.type(description="Somebody who runs the tournament.")
class Organiser(Node):
    email: str = field(description="In lower case; what the organiser signs in with.")
    access_role: Role = field(description="What the organiser may do.")
    is_totp_enabled: bool = field(description="Whether signing in takes a second factor.")
    created_at: datetime = field(description="When the organiser was made or first invited.")
    last_sign_in_at: datetime | None = field(description="Null: never.")

    @classmethod
    def from_record(cls, record: OrganiserRecord) -> Self:
        return cls(
            id=strawberry.ID(record.id.hex),
            email=record.email,
            access_role=record.role,
            is_totp_enabled=record.has_totp,
            created_at=record.created_at,
            last_sign_in_at=record.last_sign_in_at,
        )


@strawberry.type(description="Somebody who is signed in somewhere.")
class Session(Node):
    created_at: datetime = field(description="When it began.")
    last_used_at: datetime = field(description="To the minute.")
    expires_at: datetime = field(
        description="When it ends at the latest; earlier after 12 hours without a request."
    )
    is_current: bool = field(description="Whether this request came with it.")

    @classmethod
    def from_record(cls, record: SessionRecord, info: Info) -> Self:
        return cls(
            id=strawberry.ID(record.id.hex),
            created_at=record.created_at,
            last_used_at=record.last_used_at,
            expires_at=record.expires_at,
            is_current=record.id == info.context.caller.session_id,
        )


@strawberry.input(description="Who signs in.")
class SignInInput:
    email: EmailAddress = field(description="Small and capital letters are the same.")
    password: str = field(description="12 to 128 characters.")
    code: str | None = field(
        default=None,
        description="Of the second factor, where it is on: six digits, or a recovery code.",
    )


@strawberry.type(description="The answer to signIn.")
class SignInPayload:
    token: str = field(
        description="For Authorization: Bearer; told once. Browsers get it as a cookie as well."
    )
    expires_at: datetime = field(
        description="When it ends at the latest; earlier after 12 hours without a request."
    )
    organiser: Organiser = field(description="Who signed in.")


@strawberry.input(description="What ends.")
class SignOutInput:
    everywhere: bool = field(default=False, description="All sessions, not only this one.")


@strawberry.type(description="The answer to signOut.")
class SignOutPayload:
    organiser: Organiser | None = field(description="Who signed out; null: nobody was signed in.")


@strawberry.input(description="The session that is to end.")
class RevokeSessionInput:
    id: strawberry.ID = field(description="The session's.")


@strawberry.type(description="The answer to revokeSession.")
class RevokeSessionPayload:
    session: Session = field(description="As it was.")


OrganiserId = Annotated[
    strawberry.ID | None,
    argument(description="Another organiser, for whom an OWNER may ask; null: the caller."),
]


async def me(info: Info) -> Organiser | None:
    context = info.context
    return Organiser.from_record(await accounts.current_organiser(context.services, context.caller))


async def sessions(info: Info, organiser_id: OrganiserId = None) -> list[Session]:
    caller = require_caller(info, Role.VIEWER)
    whose = parse_id(organiser_id, "organiserId") if organiser_id is not None else None
    found = await accounts.list_sessions(info.context.services, caller, whose)
    return [Session.from_record(record, info) for record in found]


async def sign_in(
    info: Info, input: Annotated[SignInInput, argument(description="Who signs in.")]
) -> SignInPayload | None:
    refuse_idempotency_key(info)
    context, account = info.context, accounts.account_key(input.email)
    await context.sign_in_guard.count_sign_in(account)
    async with sign_in_attempts_counted(info, account):
        signed_in = await accounts.sign_in(
            context.services,
            email=input.email,
            password=input.password,
            code=input.code,
            count_code=partial(context.sign_in_guard.count_code, account),
        )
    expires_at = signed_in.session.expires_at
    context.sign_in_guard.remember_client(account)
    context.sign_in_guard.set_session_cookie(signed_in.token, expires_at)
    return SignInPayload(
        token=signed_in.token,
        expires_at=expires_at,
        organiser=Organiser.from_record(signed_in.organiser),
    )


async def sign_out(
    info: Info, input: Annotated[SignOutInput, argument(description="What ends.")]
) -> SignOutPayload | None:
    context = info.context
    organiser = await accounts.sign_out(
        context.services, context.caller, everywhere=input.everywhere
    )
    context.sign_in_guard.clear_session_cookie()
    return SignOutPayload(organiser=Organiser.from_record(organiser) if organiser else None)


async def revoke_session(
    info: Info, input: Annotated[RevokeSessionInput, argument(description="The session.")]
) -> RevokeSessionPayload | None:
    caller = require_caller(info, Role.VIEWER)
    gone = await accounts.revoke_session(
        info.context.services, caller, parse_id(input.id, "input", "id")
    )
    return RevokeSessionPayload(session=Session.from_record(gone, info))
