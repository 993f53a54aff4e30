"""API tokens, by which scripts authenticate."""

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

DEFAULT_LIFETIME_DAYS = 90


@strawberry.type(description="A token by which an organiser's script authenticates.")
class ApiToken(Node):
    name: str = field(description="1 to 80 characters.")
    access_role: Role = field(
        description="The role that the token was created with. It never grants more than its"
        " organiser's current role."
    )
    is_signed: bool = field(description="Whether requests with this token must be signed.")
    created_at: datetime = field(description="When the token was created.")
    expires_at: datetime = field(description="When the token expires.")
    last_used_at: datetime | None = field(
        description="Time of the last use, to the minute; or null."
    )

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


@strawberry.input(description="The name and the rights of an API token.")
class CreateApiTokenInput:
    name: str = field(description="The purpose of the token: 1 to 80 characters.")
    role: Role = field(description="The token's role, at most the caller's own.")
    expires_in_days: int = field(
        default=DEFAULT_LIFETIME_DAYS, description="Days until it expires: 1 to 365."
    )
    is_signed: bool = field(
        default=False,
        description="Whether requests with this token must be signed, so that the token alone is"
        " useless to others.",
    )


@strawberry.type(description="The payload of createApiToken.")
class CreateApiTokenPayload:
    token: str = field(description="The token for Authorization: Bearer. It is shown only once.")
    signing_secret: str | None = field(
        description="The secret by which requests are signed: 64 hexadecimal digits. It is shown"
        " only once; null unless requests must be signed."
    )
    api_token: ApiToken = field(description="The created API token.")
    replayed: bool = field(
        description="True if an earlier request with the same idempotency key created the token."
    )


@strawberry.input(description="The API token to revoke.")
class RevokeApiTokenInput:
    id: strawberry.ID = field(description="The id of the API token, not the token itself.")


@strawberry.type(description="The payload of revokeApiToken.")
class RevokeApiTokenPayload:
    api_token: ApiToken = field(description="The revoked API token.")


async def api_tokens(info: Info, organiser_id: OrganiserId = None) -> list[ApiToken]:
    caller = require_caller(info, Role.VIEWER)
    account_id = parse_id(organiser_id, "organiserId") if organiser_id is not None else None
    records = await use_cases.list_tokens(info.context.services, caller, account_id)
    return [ApiToken.from_record(record) for record in records]


async def create_api_token(
    info: Info,
    input: Annotated[CreateApiTokenInput, argument(description="The API token to create.")],
) -> CreateApiTokenPayload | None:
    context = info.context
    created = await use_cases.create(
        context.services,
        context.caller,
        name=input.name,
        role=input.role,
        days=input.expires_in_days,
        is_signed=input.is_signed,
        key=resolve_idempotency_key(context.idempotency_key, None),
    )
    return CreateApiTokenPayload(
        token=created.token,
        signing_secret=created.signing_secret,
        api_token=ApiToken.from_record(created.record),
        replayed=created.is_replay,
    )


async def revoke_api_token(
    info: Info,
    input: Annotated[RevokeApiTokenInput, argument(description="The API token to revoke.")],
) -> RevokeApiTokenPayload | None:
    caller = require_caller(info, Role.VIEWER)
    revoked = await use_cases.revoke(
        info.context.services, caller, parse_id(input.id, "input", "id")
    )
    return RevokeApiTokenPayload(api_token=ApiToken.from_record(revoked))
