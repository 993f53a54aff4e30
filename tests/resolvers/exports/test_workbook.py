"""Workbooks on a disk that refuses them."""

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


async def test_a_disk_that_refuses_the_whole_file_is_told(tmp_path):
    with pytest.raises(StorageUnavailable):
        async with Workbook.open(tmp_path) as workbook:
            workbook.path.mkdir()


async def test_none_is_begun_on_a_disk_that_is_nearly_full(services, tmp_path):
    full = UploadBuffer(tmp_path / "uploads", min_free_bytes=2**62)
    services = replace(services, storage=replace(services.storage, upload_buffer=full))
    folder = tmp_path / "scratch"
    folder.mkdir()
    export = Export(
        format=ExportFormat.XLSX,
        team_filter=TeamFilter(),
        caller=SYSTEM,
        link=SignedLink(organiser_id=None, role=Role.OWNER, claims=[]),
        time_zone=ZoneInfo("Asia/Kolkata"),
        name="teams.xlsx",
    )

    with pytest.raises(StorageUnavailable):
        await write_workbook(services, export, folder)

    assert list(folder.iterdir()) == []
