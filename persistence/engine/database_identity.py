"""The identity of a database, which differs from that of every copy of it.

`pg_dump` and templates copy every row, so no row can tell a copy from its original. These can:
PostgreSQL's system identifier (of the cluster), the object identifier of the database, the timeline
(which changes with a recovery) and, on Neon, the branch. Ordinary users may read all of them
(PostgreSQL's manual, 9.27.12 and 9.28.3). Only a snapshot of the server's disk keeps the identity.
"""

import hashlib
import secrets

from sqlalchemy import text
from sqlalchemy.exc import DBAPIError
from sqlmodel.ext.asyncio.session import AsyncSession

from persistence.engine.errors import sqlstate

TAG_DIGITS = 8
RANDOM_BYTES = 16

# Functions of the server, and no table of ours.
_IDENTITY = text("""
    SELECT concat_ws(':', s.system_identifier, d.oid,
                     substr(pg_walfile_name(pg_current_wal_lsn()), 1, 8),
                     current_setting('neon.timeline_id', true))
    FROM pg_control_system() s, pg_database d WHERE d.datname = current_database()
""")
# Insufficient privilege, undefined function, feature not supported, or a standby.
_UNAVAILABLE_SQLSTATES = frozenset({"42501", "42883", "0A000", "55000"})


async def storage_tag(session: AsyncSession) -> str | None:
    """The prefix of this database's file names: eight hex digits of a hash of its identity.

    None when the server does not tell its identity. The transaction stays usable in both cases.
    """
    try:
        async with session.begin_nested():
            identity: str = await session.scalar(_IDENTITY)
    except DBAPIError as error:
        if sqlstate(error) in _UNAVAILABLE_SQLSTATES:
            return None
        raise
    return hashlib.sha256(identity.encode()).hexdigest()[:TAG_DIGITS]


async def new_storage_name(session: AsyncSession) -> str:
    """A new file name: 32 hex digits, the first eight of them the tag, the others random."""
    name = secrets.token_hex(RANDOM_BYTES)
    tag = await storage_tag(session) or ""
    return tag + name[len(tag) :]
