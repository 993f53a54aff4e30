from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.ids import parse_uuid

ID = UUID("01a22a46-8838-738a-acfd-05a66dd70109")


@pytest.mark.parametrize("text", [ID.hex, str(ID), ID.hex.upper(), str(ID).upper()])
def test_hexadecimal_digits_with_or_without_hyphens_are_a_uuid(text):
    assert parse_uuid(text) == ID


@pytest.mark.parametrize(
    "text",
    [
        f"{{{ID}}}",
        f"urn:uuid:{ID}",
        f"uuid:{ID.hex}",
        "-".join(ID.hex),
        f"{ID.hex[:31]}-{ID.hex[31:]}",
        f" {ID.hex[1:]}",
        f"+{ID.hex[1:]}",
        f"-{ID.hex[1:]}",
        f"0x{ID.hex[2:]}",
        f"{ID.hex[:10]}_{ID.hex[11:]}",
        f"{ID.hex[:31]}\n",
        f"{ID.hex}\n",
        f"{ID.hex[:31]}٩",
        f"{ID.hex[:31]}９",
        f"{ID.hex}\0",
        f"\ud800{ID.hex[1:]}",
        "",
        "0" * 100_000,
        None,
        5,
        ID,
        [ID.hex],
        {},
    ],
    ids=lambda text: ascii(str(text)[:40]),
)
def test_other_value_is_none(text):
    assert parse_uuid(text) is None


@given(st.text())
def test_any_text_is_a_uuid_or_none(text):
    parsed = parse_uuid(text)
    assert parsed is None or parsed.hex == text.replace("-", "").lower()
