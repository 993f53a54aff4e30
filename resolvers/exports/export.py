"""Exports of teams as CSV or XLSX through signed links, read in batches to bound memory.

No database connection is held between batches, so slow clients do not block the pool.
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
from domain.auth.roles import Caller, Role, has_role, require_role
from domain.datetimes import load_time_zone, parse_datetime
from domain.errors.exceptions import NotFound
from domain.spreadsheets import ExportFormat, escape_formula
from domain.teams.status import TeamStatus
from persistence.pagination import Page, PageRequest
from persistence.records import TeamRecord
from persistence.repositories.team_search import (
    Include,
    TeamFilter,
    TeamOrderField,
    TeamQuery,
    keyset_order,
)
from persistence.unit_of_work import UnitOfWork
from resolvers import audit
from resolvers.exports.columns import PLAYER_COLUMNS, Column, PlayerRow, localized_team_columns
from resolvers.security.signed_links import (
    EXPIRED,
    SignedLink,
    read_link,
    resolve_link_caller,
    sign_link,
)
from resolvers.services import Services

LINK_PURPOSE = "teams-export"
BATCH_SIZE = 50
# Excel reads a CSV file as UTF-8 only with a byte order mark.
BOM = "\ufeff"

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Export:
    """An opened export. `link` is kept to check the caller's role again for each batch."""

    format: ExportFormat
    team_filter: TeamFilter
    caller: Caller
    link: SignedLink
    time_zone: ZoneInfo
    name: str


def create_link(
    services: Services, caller: Caller, export_format: ExportFormat, team_filter: TeamFilter
) -> tuple[str, datetime]:
    """Return a path that gives the export to anybody, with the caller's rights, and its expiry.

    Raises Unauthenticated.
    """
    require_role(caller, Role.VIEWER)
    text, expires_at = sign_link(
        services, caller, LINK_PURPOSE, export_format.value, json.dumps(encode_filter(team_filter))
    )
    return f"/exports/{text}", expires_at


async def open_export(services: Services, link: str) -> Export:
    """Verify the link and record the export in the audit log. Raises NotFound."""
    verified = read_link(services, LINK_PURPOSE, link)
    return await services.database.run(partial(_open, services, verified))


async def csv_rows(services: Services, export: Export) -> AsyncGenerator[bytes]:
    """Yield UTF-8 CSV with a row for each player, and one for a team without players.

    Raises ServiceUnavailable; NotFound for a caller who has lost the right to see the columns.
    """
    team_columns = _visible(localized_team_columns(export.time_zone), export.caller)
    player_columns = _visible(PLAYER_COLUMNS, export.caller)
    headers = [column.header for column in (*team_columns, *player_columns)]
    yield BOM.encode() + _csv([headers])
    async with aclosing(team_batches(services, export)) as batches:
        async for teams in batches:
            rows = []
            for team in teams:
                team_cells = _cells(team_columns, team)
                rows += [
                    team_cells + _cells(player_columns, PlayerRow(team, player))
                    for player in team.players
                ] or [team_cells + [""] * len(player_columns)]
            yield _csv(rows)


async def write_workbook(services: Services, export: Export, folder: Path) -> Path:
    """Write an XLSX file with a sheet of teams and a sheet of players; return its path.

    Raises StorageUnavailable, ServiceUnavailable; NotFound for a caller who has lost the right to
    see the columns.
    """
    # Imported on use: only XLSX exports need xlsxwriter.
    from resolvers.exports.workbook import Workbook  # noqa: PLC0415

    await services.storage.upload_buffer.require_room()
    team_columns = _visible(localized_team_columns(export.time_zone), export.caller)
    player_columns = _visible(PLAYER_COLUMNS, export.caller)
    async with (
        Workbook.open(folder) as workbook,
        aclosing(team_batches(services, export)) as batches,
    ):
        await workbook.add_sheet("Teams", team_columns)
        await workbook.add_sheet("Players", player_columns)
        async for teams in batches:
            players = [PlayerRow(team, player) for team in teams for player in team.players]
            await workbook.add_rows("Teams", teams)
            await workbook.add_rows("Players", players)
    return workbook.path


async def team_batches(
    services: Services, export: Export
) -> AsyncGenerator[tuple[TeamRecord, ...]]:
    """Yield all teams by code, with players and documents, one statement for each batch.

    Raises NotFound if the caller's role has fallen since: the columns are chosen already, and a
    truncated file shows that something is missing.
    """
    after = None
    while True:
        query = TeamQuery(
            filters=export.team_filter,
            order=keyset_order(TeamOrderField.CODE),
            request=PageRequest(size=BATCH_SIZE, after=after),
        )
        page = await services.database.read(partial(_read_batch, export, query))
        if page.rows:
            yield page.rows
            after = page.keys[-1]
        if not page.has_next:
            return


async def _read_batch(export: Export, query: TeamQuery, uow: UnitOfWork) -> Page[TeamRecord]:
    """Raises NotFound."""
    await resolve_link_caller(uow, export.link, export.caller.role or Role.OWNER)
    return await uow.team_search.page(
        query=query,
        include=Include(),
        with_contacts=has_role(export.caller, Role.REVIEWER),
    )


async def _open(services: Services, link: SignedLink, uow: UnitOfWork) -> Export:
    caller = await resolve_link_caller(uow, link, Role.VIEWER)
    try:
        export_format = ExportFormat(link.values[0])
        team_filter = decode_filter(json.loads(link.values[1]))
    except (ValueError, TypeError):
        # Signed by another version of the service with other filters.
        raise NotFound(EXPIRED) from None
    now = services.clock()
    await audit.record(
        uow,
        AuditAction.TEAMS_EXPORTED,
        caller.actor,
        at=now,
        changes={
            "format": export_format.value,
            "filter": sorted(encode_filter(team_filter)),
            "role": caller.role,
        },
    )
    log.info("teams_exported", format=export_format.value)
    time_zone = load_time_zone((await uow.tournaments.get_active()).time_zone)
    return Export(
        format=export_format,
        team_filter=team_filter,
        caller=caller,
        link=link,
        time_zone=time_zone,
        name=f"teams-{now.astimezone(time_zone).date()}.{export_format.lower()}",
    )


def _visible(columns: tuple[Column, ...], caller: Caller) -> list[Column]:
    sees_private = has_role(caller, Role.REVIEWER)
    return [column for column in columns if sees_private or not column.is_private]


def _cells(columns: list[Column], row: TeamRecord | PlayerRow) -> list[Any]:
    values = [column.value(row) for column in columns]
    return [escape_formula(value) if isinstance(value, str) else value for value in values]


def _csv(rows: list[list[Any]]) -> bytes:
    text = io.StringIO()
    csv.writer(text, lineterminator="\r\n").writerows(rows)
    return text.getvalue().encode()


def encode_filter(team_filter: TeamFilter) -> dict[str, Any]:
    """Return the filter's set fields as JSON."""
    fields = {
        "statuses": sorted(status.value for status in team_filter.statuses),
        "church_id": team_filter.church_id.hex if team_filter.church_id else None,
        "text": team_filter.text,
        "registered_from": _iso(team_filter.registered_from),
        "registered_until": _iso(team_filter.registered_until),
        "has_missing_documents": team_filter.has_missing_documents,
        "has_rejected_documents": team_filter.has_rejected_documents,
    }
    return {name: value for name, value in fields.items() if value not in (None, [])}


def decode_filter(fields: Mapping[str, Any]) -> TeamFilter:
    """Raises ValueError, TypeError."""
    values = dict(fields)
    for name in ("registered_from", "registered_until"):
        if name in values:
            values[name] = parse_datetime(values[name])
    if "church_id" in values:
        values["church_id"] = UUID(values["church_id"])
    values["statuses"] = [TeamStatus(status) for status in values.get("statuses", ())]
    return TeamFilter(**values)


def _iso(moment: datetime | None) -> str | None:
    return moment.isoformat() if moment else None
