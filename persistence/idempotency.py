"""What idempotency keys were used for."""

from datetime import datetime

from sqlalchemy import text

from persistence.database import Database
from persistence.direct import Statement
from persistence.records import Remembered

OPERATION = "registerTeam"

_REMEMBERED = Statement(
    text("""
    SELECT fingerprint, team_id, expires_at FROM idempotency_record
    WHERE operation = :operation AND key = :key
""")
)


async def find(database: Database, key: str, *, now: datetime) -> Remembered | None:
    """What a key was used for; None for one that was not, or is forgotten by now."""
    rows = await database.fetch(_REMEMBERED, operation=OPERATION, key=key)
    # Not a condition of the statement: planned while there were no keys, it would go by the time.
    if not rows or rows[0]["expires_at"] <= now:
        return None
    return Remembered(fingerprint=rows[0]["fingerprint"], team_id=rows[0]["team_id"])
