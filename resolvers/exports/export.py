"""Teams as a table: a link first, then the rows in batches, so that memory stays small.

No connection to the database is held between two batches, however slowly they are taken.
"""

import csv
import io
import json
from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

import structlog

from domain.audit import AuditAction
from domain.auth.roles import Caller, Role, may, require_role
from domain.datetimes import read_moment, zone
from domain.errors.exceptions import NotFound
from domain.spreadsheets import ExportFormat, escape_formula
from domain.teams.status import TeamStatus
from observability.logging_setup import current_request_id
from persistence.engine.database import Connection
from persistence.pagination import Page, PageRequest
from persistence.records import TeamRecord
from persistence.repositories import audit, team_search, tournaments
from persistence.repositories.team_search import (
    Include,
    TeamFilter,
    TeamOrderField,
    TeamQuery,
    keyset_order,
)
from resolvers.exports.columns import PLAYER_COLUMNS, Column, PlayerRow, localized_team_columns
from resolvers.security.signed_links import SignedLink, read_link, resolve_link_caller, sign_link
from resolvers.services import Services

LINK_PURPOSE = "teams-export"
BATCH_SIZE = 50
# Excel takes a file for UTF-8 only with this mark.
BOM = "\ufeff"

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Export:
    """A table for the caller, in the tournament's time zone. `link` says again who asks."""

    format: ExportFormat
    wanted: TeamFilter
    caller: Caller
    link: SignedLink
    time_zone: ZoneInfo
    name: str


def create_link(
    services: Services, caller: Caller, export_format: ExportFormat, wanted: TeamFilter
) -> tuple[str, datetime]:
    """A path that gives the table to whoever has it, until then, in the caller's name.

    Raises Unauthenticated.
    """
    require_role(caller, Role.VIEWER)
    text, expires_at = sign_link(
        services, caller, LINK_PURPOSE, export_format.value, json.dumps(encode_filter(wanted))
    )
    return f"/exports/{text}", expires_at


async def open_export(services: Services, link: str) -> Export:
    """On record before anything is read. Raises NotFound."""
    return await services.database.run(
        partial(_open, services, read_link(services, LINK_PURPOSE, link))
    )


async def csv_rows(services: Services, export: Export) -> AsyncGenerator[bytes]:
    """A row for each player, or one for a team without; UTF-8.

    Raises ServiceUnavailable, and NotFound for a caller who may not see the columns any more.
    """
    team_columns = _visible_columns(localized_team_columns(export.time_zone), export.caller)
    player_columns = _visible_columns(PLAYER_COLUMNS, export.caller)
    headers = [column.header for column in (*team_columns, *player_columns)]
    yield BOM.encode() + _csv([headers])
    async with aclosing(team_batches(services, export)) as parts:
        async for teams in parts:
            rows = []
            for team in teams:
                own = [column.value(team) for column in team_columns]
                rows += [
                    [*own, *(column.value(PlayerRow(team, player)) for column in player_columns)]
                    for player in team.players
                ] or [[*own, *([""] * len(player_columns))]]
            yield _csv(rows)


async def write_workbook(services: Services, export: Export, folder: Path) -> Path:
    """A sheet of teams and one of players.

    Raises StorageUnavailable, ServiceUnavailable, and NotFound for a caller who may not see the
    columns any more.
    """
    await services.storage.upload_buffer.require_room()
    team_columns = _visible_columns(localized_team_columns(export.time_zone), export.caller)
    player_columns = _visible_columns(PLAYER_COLUMNS, export.caller)
    from resolvers.exports.workbook import Workbook  # noqa: PLC0415 - its library is for this alone

    async with Workbook.open(folder) as workbook, aclosing(team_batches(services, export)) as parts:
        await workbook.add_sheet("Teams", team_columns)
        await workbook.add_sheet("Players", player_columns)
        async for teams in parts:
            members = [PlayerRow(team, player) for team in teams for player in team.players]
            await workbook.add_rows("Teams", teams)
            await workbook.add_rows("Players", members)
    return workbook.path


async def team_batches(
    services: Services, export: Export
) -> AsyncGenerator[tuple[TeamRecord, ...]]:
    """All teams by code, a few at a time, each with one statement for itself and its parts.

    The caller's role is read again for each batch. Raises NotFound for a lower one: the columns are
    chosen by then, and a file that is cut off shows that something is missing.
    """
    after = None
    while True:
        listing = TeamQuery(
            filters=export.wanted,
            order=keyset_order(TeamOrderField.CODE),
            request=PageRequest(size=BATCH_SIZE, after=after),
        )
        page = await services.database.read(partial(_read_batch, export, listing))
        if page.rows:
            yield page.rows
            after = page.keys[-1]
        if not page.has_next:
            return


async def _read_batch(
    export: Export, listing: TeamQuery, connection: Connection
) -> Page[TeamRecord]:
    """Raises NotFound."""
    await resolve_link_caller(connection, export.link, export.caller.role or Role.OWNER)
    return await team_search.page(
        connection,
        query=listing,
        include=Include(),
        with_contacts=may(export.caller, Role.REVIEWER),
    )


async def _open(services: Services, link: SignedLink, connection: Connection) -> Export:
    caller = await resolve_link_caller(connection, link, Role.VIEWER)
    try:
        export_format, wanted = (
            ExportFormat(link.claims[0]),
            decode_filter(json.loads(link.claims[1])),
        )
    except (ValueError, TypeError):
        # Signed by another version, which took other filters.
        raise NotFound("This link has expired. Ask for another one.") from None
    now = services.clock()
    await audit.append(
        connection,
        at=now,
        actor=caller.actor,
        action=AuditAction.TEAMS_EXPORTED,
        team_id=None,
        request_id=current_request_id(),
        changes={
            "format": export_format.value,
            "filter": sorted(encode_filter(wanted)),
            "role": caller.role,
        },
    )
    log.info("teams_exported", format=export_format.value)
    time_zone = zone((await tournaments.get_active(connection)).time_zone)
    return Export(
        format=export_format,
        wanted=wanted,
        caller=caller,
        link=link,
        time_zone=time_zone,
        name=f"teams-{now.astimezone(time_zone).date()}.{export_format.lower()}",
    )


def _visible_columns(columns: tuple[Column, ...], caller: Caller) -> list[Column]:
    is_told = may(caller, Role.REVIEWER)
    return [column for column in columns if is_told or not column.is_private]


def _csv(rows: list[list[Any]]) -> bytes:
    text = io.StringIO()
    csv.writer(text, lineterminator="\r\n").writerows(
        [escape_formula(value) if isinstance(value, str) else value for value in row]
        for row in rows
    )
    return text.getvalue().encode()


def encode_filter(wanted: TeamFilter) -> dict[str, Any]:
    """What is given of the filter, as JSON."""
    given = {
        "statuses": sorted(status.value for status in wanted.statuses),
        "church_id": wanted.church_id.hex if wanted.church_id else None,
        "text": wanted.text,
        "registered_from": _iso(wanted.registered_from),
        "registered_until": _iso(wanted.registered_until),
        "has_missing_documents": wanted.has_missing_documents,
        "has_rejected_documents": wanted.has_rejected_documents,
    }
    return {name: value for name, value in given.items() if value not in (None, [])}


def decode_filter(written: Mapping[str, Any]) -> TeamFilter:
    values = dict(written)
    for name in ("registered_from", "registered_until"):
        if name in values:
            values[name] = read_moment(values[name])
    if "church_id" in values:
        values["church_id"] = UUID(values["church_id"])
    values["statuses"] = [TeamStatus(one) for one in values.get("statuses", ())]
    return TeamFilter(**values)


def _iso(moment: datetime | None) -> str | None:
    return moment.isoformat() if moment else None
