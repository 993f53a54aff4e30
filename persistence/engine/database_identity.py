"""The identity of a database, which a copy of its contents does not share.

`pg_dump` and templates copy every row, so that no row can tell a copy from its original. PostgreSQL
can: by its system identifier (of the cluster), the object identifier of the database, the timeline
(another one after a recovery) and, on Neon, the branch. Ordinary users may read all of them
(PostgreSQL's manual, 9.27.12 and 9.28.3). A snapshot of the server's disk has the same identity.
"""

import hashlib
import secrets

from sqlalchemy import text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection

from persistence.engine.errors import sqlstate

TAG_DIGITS = 8
RANDOM_BYTES = 16

_IDENTITY = text("""
    SELECT concat_ws(':', s.system_identifier, d.oid,
                     substr(pg_walfile_name(pg_current_wal_lsn()), 1, 8),
                     current_setting('neon.timeline_id', true))
    FROM pg_control_system() s, pg_database d WHERE d.datname = current_database()
""")
# Not allowed to this user, not known or not supported by this server, or a standby.
_UNTOLD = frozenset({"42501", "42883", "0A000", "55000"})


async def storage_tag(connection: AsyncConnection) -> str | None:
    """Eight hexadecimal digits that names of files begin with; None where none can be told.

    The connection is in a transaction, which goes on in both cases.
    """
    try:
        async with connection.begin_nested():
            identity: str = await connection.scalar(_IDENTITY)
    except DBAPIError as error:
        if sqlstate(error) in _UNTOLD:
            return None
        raise
    return hashlib.sha256(identity.encode()).hexdigest()[:TAG_DIGITS]


async def new_storage_name(connection: AsyncConnection) -> str:
    """Thirty-two hexadecimal digits: the tag of the database, the others random."""
    name = secrets.token_hex(RANDOM_BYTES)
    tag = await storage_tag(connection) or ""
    return tag + name[len(tag) :]
