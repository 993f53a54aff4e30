"""What idempotency keys were used for."""

from sqlalchemy import text

from persistence.database import Database
from persistence.direct import Statement
from persistence.records import Remembered

OPERATION = "registerTeam"

_REMEMBERED = Statement(
    text("""
    SELECT fingerprint, team_id FROM idempotency_record WHERE operation = :operation AND key = :key
""")
)


async def remembered(database: Database, key: str) -> Remembered:
    """What a key that was used stands for."""
    (row,) = await database.fetch(_REMEMBERED, operation=OPERATION, key=key)
    return Remembered(fingerprint=row["fingerprint"], team_id=row["team_id"])
