"""Who did what, when. Rows are only ever added."""

import json
from collections.abc import Mapping
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from persistence.ids import new_id

_APPEND = text("""
    INSERT INTO audit_event (id, at, actor, action, team_id, request_id, changes)
    VALUES (:id, :at, :actor, :action, :team_id, :request_id, CAST(:changes AS jsonb))
""")


async def append(  # noqa: PLR0913 - one argument for each column
    connection: AsyncConnection,
    *,
    at: datetime,
    actor: str,
    action: str,
    team_id: UUID | None,
    request_id: str,
    changes: Mapping[str, Any],
) -> None:
    """`changes` has no personal data: what was changed, by name, from old to new."""
    values = {
        "id": new_id(),
        "at": at,
        "actor": actor,
        "action": action,
        "team_id": team_id,
        "request_id": request_id,
        "changes": json.dumps(changes),
    }
    await connection.execute(_APPEND, values)
