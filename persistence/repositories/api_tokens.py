"""API tokens: create, list, record their use, revoke; nonces of signed requests."""

from dataclasses import asdict
from datetime import datetime, timedelta
from uuid import UUID

from sqlalchemy import delete, or_, update
from sqlalchemy.dialects.postgresql import insert
from sqlmodel import col, select

from persistence.models import ApiToken, RequestNonce
from persistence.records import ApiTokenRecord
from persistence.repositories.base import Repository, shared_values

MAX_LISTED = 500


def _record(token: ApiToken) -> ApiTokenRecord:
    return ApiTokenRecord(**shared_values(ApiTokenRecord, token))


class ApiTokenRepository(Repository):
    """API tokens of organisers, with the nonces of their signed requests.

    `lookups.find_api_token` finds the token of a request.
    """

    def add(self, token: ApiTokenRecord, *, token_hash: bytes) -> None:
        self._session.add(ApiToken(**asdict(token), token_hash=token_hash))

    async def find_active(self, token_hash: bytes, *, now: datetime) -> ApiTokenRecord | None:
        """Find an API token for display. None when it was revoked or has expired."""
        statement = select(ApiToken).where(
            ApiToken.token_hash == token_hash, ApiToken.expires_at > now
        )
        token = (await self._session.exec(statement)).first()
        return _record(token) if token else None

    async def list_by_organiser(self, organiser_id: UUID, *, now: datetime) -> list[ApiTokenRecord]:
        """Valid API tokens, newest first, MAX_LISTED at most."""
        statement = (
            select(ApiToken)
            .where(ApiToken.organiser_id == organiser_id, ApiToken.expires_at > now)
            .order_by(col(ApiToken.id).desc())
            .limit(MAX_LISTED)
        )
        return [_record(token) for token in await self._session.exec(statement)]

    async def touch(self, token_id: UUID, *, now: datetime, precision: timedelta) -> None:
        """Record a use, unless a use less than `precision` ago was recorded."""
        last_used_at = col(ApiToken.last_used_at)
        await self._session.exec(
            update(ApiToken)
            .where(
                col(ApiToken.id) == token_id,
                or_(last_used_at.is_(None), last_used_at <= now - precision),
            )
            .values(last_used_at=now)
        )

    async def delete(self, token_id: UUID, *, organiser_id: UUID | None) -> ApiTokenRecord | None:
        """Delete a token, of this organiser if one is given. None when there is no such token."""
        statement = delete(ApiToken).where(col(ApiToken.id) == token_id)
        if organiser_id is not None:
            statement = statement.where(col(ApiToken.organiser_id) == organiser_id)
        result = await self._session.exec(statement.returning(ApiToken))
        token: ApiToken | None = result.scalars().first()
        return _record(token) if token else None

    async def delete_by_organiser(self, organiser_id: UUID) -> int:
        """Delete all tokens of an organiser. Returns their number."""
        statement = delete(ApiToken).where(col(ApiToken.organiser_id) == organiser_id)
        return (await self._session.exec(statement)).rowcount

    async def use_nonce(self, *, token_id: UUID, nonce: str, expires_at: datetime) -> bool:
        """Use the nonce of a signed request. False when it was used before."""
        statement = (
            insert(RequestNonce)
            .values(api_token_id=token_id, nonce=nonce, expires_at=expires_at)
            .on_conflict_do_nothing()
        )
        return (await self._session.exec(statement)).rowcount == 1

    async def delete_expired(self, *, now: datetime) -> int:
        """Delete expired tokens and nonces. Returns the number of tokens."""
        await self._session.exec(delete(RequestNonce).where(col(RequestNonce.expires_at) <= now))
        statement = delete(ApiToken).where(col(ApiToken.expires_at) <= now)
        return (await self._session.exec(statement)).rowcount
