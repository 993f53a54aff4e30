"""Workbooks on a full disk."""

from dataclasses import replace
from zoneinfo import ZoneInfo

import pytest

from domain.auth.roles import SYSTEM, Role
from domain.errors.exceptions import StorageUnavailable
from domain.spreadsheets import ExportFormat
from integrations.storage.upload_buffer import UploadBuffer
from persistence.repositories.team_search import TeamFilter
from resolvers.exports.export import Export, write_workbook
from resolvers.exports.workbook import Workbook
from resolvers.security.signed_links import SignedLink


async def test_full_disk_during_the_export_raises_storage_unavailable(tmp_path):
    with pytest.raises(StorageUnavailable):
        async with Workbook.open(tmp_path) as workbook:
            workbook.path.mkdir()


async def test_no_workbook_is_started_on_a_nearly_full_disk(services, tmp_path):
    full = UploadBuffer(tmp_path / "uploads", min_free_bytes=2**62)
    services = replace(services, storage=replace(services.storage, upload_buffer=full))
    folder = tmp_path / "scratch"
    folder.mkdir()
    export = Export(
        format=ExportFormat.XLSX,
        team_filter=TeamFilter(),
        caller=SYSTEM,
        link=SignedLink(organiser_id=None, role=Role.OWNER, values=[]),
        time_zone=ZoneInfo("Asia/Kolkata"),
        name="teams.xlsx",
    )

    with pytest.raises(StorageUnavailable):
        await write_workbook(services, export, folder)

    assert list(folder.iterdir()) == []
