"""API tokens: what scripts come with."""

from datetime import datetime
from typing import Annotated, Self

import strawberry
from strawberry import argument, field

from persistence.records import ApiTokenRecord
from resolvers.accounts import api_tokens as use_cases
from resolvers.registration.register import resolve_idempotency_key
from schema.accounts.sessions import OrganiserId
from schema.context import Info
from schema.enums import Role
from schema.node import Node, parse_id
from schema.permissions import require_caller

DAYS = 90


@strawberry.type(description="What a script of an organiser comes with, in place of a sign-in.")
class ApiToken(Node):
    name: str = field(description="1 to 80 characters.")
    access_role: Role = field(
        description="What it was made for; it can do no more than its organiser can by now."
    )
    is_signed: bool = field(description="Whether requests with it have to be signed.")
    created_at: datetime = field(description="When it was made.")
    expires_at: datetime = field(description="From then on it is not taken.")
    last_used_at: datetime | None = field(description="To the minute; null: never.")

    @classmethod
    def from_record(cls, record: ApiTokenRecord) -> Self:
        return cls(
            id=strawberry.ID(record.id.hex),
            name=record.name,
            access_role=record.role,
            is_signed=record.is_signed,
            created_at=record.created_at,
            expires_at=record.expires_at,
            last_used_at=record.last_used_at,
        )


@strawberry.input(description="What the script is and may do.")
class CreateApiTokenInput:
    name: str = field(description="What it is for: 1 to 80 characters.")
    role: Role = field(description="Not above the caller's own.")
    expires_in_days: int = field(default=DAYS, description="1 to 365 days.")
    is_signed: bool = field(
        default=False,
        description="Whether requests with it have to be signed, so that a token that was seen is"
        " of no use by itself.",
    )


@strawberry.type(description="The answer to createApiToken.")
class CreateApiTokenPayload:
    token: str = field(description="For Authorization: Bearer; told once.")
    signing_secret: str | None = field(
        description="What requests are signed with, 64 hexadecimal digits; told once, and only"
        " where they have to be."
    )
    api_token: ApiToken = field(description="What is known about it later.")
    replayed: bool = field(description="True when the idempotency key had made it before.")


@strawberry.input(description="The API token that is to end.")
class RevokeApiTokenInput:
    id: strawberry.ID = field(description="The API token's, not its text.")


@strawberry.type(description="The answer to revokeApiToken.")
class RevokeApiTokenPayload:
    api_token: ApiToken = field(description="As it was.")


async def api_tokens(info: Info, organiser_id: OrganiserId = None) -> list[ApiToken]:
    caller = require_caller(info, Role.VIEWER)
    whose = parse_id(organiser_id, "organiserId") if organiser_id is not None else None
    found = await use_cases.list_tokens(info.context.services, caller, whose)
    return [ApiToken.from_record(record) for record in found]


async def create_api_token(
    info: Info, input: Annotated[CreateApiTokenInput, argument(description="What for.")]
) -> CreateApiTokenPayload | None:
    context = info.context
    made = await use_cases.create(
        context.services,
        context.caller,
        name=input.name,
        role=input.role,
        days=input.expires_in_days,
        is_signed=input.is_signed,
        key=resolve_idempotency_key(context.idempotency_key, None),
    )
    return CreateApiTokenPayload(
        token=made.token,
        signing_secret=made.signing_secret,
        api_token=ApiToken.from_record(made.record),
        replayed=made.is_replay,
    )


async def revoke_api_token(
    info: Info, input: Annotated[RevokeApiTokenInput, argument(description="Which.")]
) -> RevokeApiTokenPayload | None:
    caller = require_caller(info, Role.VIEWER)
    gone = await use_cases.revoke(info.context.services, caller, parse_id(input.id, "input", "id"))
    return RevokeApiTokenPayload(api_token=ApiToken.from_record(gone))
