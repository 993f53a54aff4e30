"""Organisers and their sessions: signing in and out."""

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
from schema.permissions import count_sign_in_attempts, require_caller
from schema.scalars import EmailAddress


@strawberry.type(description="A person who runs the tournament.")
class Organiser(Node):
    email: str = field(description="The address by which the organiser signs in, in lower case.")
    access_role: Role = field(description="The organiser's role.")
    is_totp_enabled: bool = field(description="Whether a second factor is required to sign in.")
    created_at: datetime = field(description="When the account was created, or first invited.")
    last_sign_in_at: datetime | None = field(description="Time of the last sign-in; null if never.")

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


@strawberry.type(description="A session of an organiser.")
class Session(Node):
    created_at: datetime = field(description="When the organiser signed in.")
    last_used_at: datetime = field(description="When the session was last used, to the minute.")
    expires_at: datetime = field(
        description="When the session expires at the latest. It ends earlier after a time without"
        " a request, 12 hours by default."
    )
    is_current: bool = field(description="Whether this request belongs to the session.")

    @classmethod
    def from_record(cls, record: SessionRecord, info: Info) -> Self:
        return cls(
            id=strawberry.ID(record.id.hex),
            created_at=record.created_at,
            last_used_at=record.last_used_at,
            expires_at=record.expires_at,
            is_current=record.id == info.context.caller.session_id,
        )


@strawberry.input(description="The organiser's credentials.")
class SignInInput:
    email: EmailAddress = field(description="The organiser's e-mail address, in any case.")
    password: str = field(description="12 to 128 characters.")
    code: str | None = field(
        default=None,
        description="The code of the second factor if it is enabled: six digits, or a recovery"
        " code.",
    )


@strawberry.type(description="The payload of signIn.")
class SignInPayload:
    token: str = field(
        description="The session's token, for the header Authorization: Bearer. It is shown only"
        " once; browsers also receive it as a cookie."
    )
    expires_at: datetime = field(
        description="When the session expires at the latest. It ends earlier after a time without"
        " a request, 12 hours by default."
    )
    organiser: Organiser = field(description="The organiser who signed in.")


@strawberry.input(description="Sessions to end.")
class SignOutInput:
    everywhere: bool = field(
        default=False,
        description="Whether to end all sessions of the organiser, not only this one.",
    )


@strawberry.type(description="The payload of signOut.")
class SignOutPayload:
    organiser: Organiser | None = field(
        description="The organiser who signed out; null if the caller was not signed in."
    )


@strawberry.input(description="The session to revoke.")
class RevokeSessionInput:
    id: strawberry.ID = field(description="The session's id.")


@strawberry.type(description="The payload of revokeSession.")
class RevokeSessionPayload:
    session: Session = field(description="The revoked session.")


OrganiserId = Annotated[
    strawberry.ID | None,
    argument(
        description="The id of another organiser, allowed for an OWNER; null means the caller."
    ),
]


async def me(info: Info) -> Organiser | None:
    context = info.context
    return Organiser.from_record(await accounts.current_organiser(context.services, context.caller))


async def sessions(info: Info, organiser_id: OrganiserId = None) -> list[Session]:
    caller = require_caller(info, Role.VIEWER)
    account_id = parse_id(organiser_id, "organiserId") if organiser_id is not None else None
    records = await accounts.list_sessions(info.context.services, caller, account_id)
    return [Session.from_record(record, info) for record in records]


async def sign_in(
    info: Info, input: Annotated[SignInInput, argument(description="The organiser's credentials.")]
) -> SignInPayload | None:
    refuse_idempotency_key(info)
    context, account = info.context, accounts.account_key(input.email)
    await context.sign_in_gate.count_sign_in(account)
    async with count_sign_in_attempts(info, account):
        signed_in = await accounts.sign_in(
            context.services,
            email=input.email,
            password=input.password,
            code=input.code,
            count_code=partial(context.sign_in_gate.count_code, account),
        )
    expires_at = signed_in.session.expires_at
    context.sign_in_gate.remember_client(account)
    context.sign_in_gate.set_session_cookie(signed_in.token, expires_at)
    return SignInPayload(
        token=signed_in.token,
        expires_at=expires_at,
        organiser=Organiser.from_record(signed_in.organiser),
    )


async def sign_out(
    info: Info, input: Annotated[SignOutInput, argument(description="Sessions to end.")]
) -> SignOutPayload | None:
    context = info.context
    organiser = await accounts.sign_out(
        context.services, context.caller, everywhere=input.everywhere
    )
    context.sign_in_gate.clear_session_cookie()
    return SignOutPayload(organiser=Organiser.from_record(organiser) if organiser else None)


async def revoke_session(
    info: Info, input: Annotated[RevokeSessionInput, argument(description="The session to revoke.")]
) -> RevokeSessionPayload | None:
    caller = require_caller(info, Role.VIEWER)
    revoked = await accounts.revoke_session(
        info.context.services, caller, parse_id(input.id, "input", "id")
    )
    return RevokeSessionPayload(session=Session.from_record(revoked, info))
