from datetime import UTC, date, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.datetimes import parse_date, parse_datetime

NOON = datetime(2027, 1, 31, 12, tzinfo=UTC)
# Anything except RFC 3339 with an offset in the years 1900 to 2200.
INVALID_DATETIMES = (
    # Without an offset, or without a time.
    "2027-01-31T23:59:59", "2027-01-31", "2027-01-31Z", "2027-01-31T12:00Z", "2027-01-31T12Z",
    # Other notations of ISO 8601.
    "2027-W05-1", "2027-W05-1T12:00:00Z", "2027-031T12:00:00Z", "20270131", "20270131T120000Z",
    "2027-01-31T120000Z", "2027-01-31 12:00:00Z", "2027-01-31T12:00:00,5Z",
    "+002027-01-31T12:00:00Z",
    # Invalid offsets.
    "2027-01-31T12:00:00+05:30:15", "2027-01-31T12:00:00+0530", "2027-01-31T12:00:00+05",
    "2027-01-31T12:00:00+24:00", "2027-01-31T12:00:00+05:60", "2027-01-31T12:00:00+99:99",
    "2027-01-31T12:00:00−05:30", "2027-01-31T12:00:00Z+05:30", "2027-01-31T12:00:00UTC",
    # Days and times that do not exist.
    "2027-02-29T12:00:00Z", "2027-13-01T12:00:00Z", "2027-00-10T12:00:00Z", "2027-01-31T24:00:00Z",
    "2027-01-31T12:60:00Z", "2027-01-31T23:59:60Z", "2027-01-31T12:00:00.Z",
    # Years out of range, as written or in UTC.
    "0001-01-01T00:00:00Z", "0001-01-01T00:00:00+14:00", "0000-01-01T00:00:00Z",
    "1899-12-31T23:59:59Z", "1900-01-01T00:00:00+00:01", "1899-12-31T23:59:59-12:00",
    "2200-12-31T23:59:59-00:01", "2201-01-01T00:00:00Z", "2201-01-01T00:00:00+14:00",
    "9999-12-31T23:59:59.9999999Z", "9999-12-31T23:59:59-12:00", "12027-01-31T12:00:00Z",
    # Other text.
    "", " ", "now", "infinity", "-infinity", "\0", "\ud800", "2027-01-31T12:00:00Z\0",
    " 2027-01-31T12:00:00Z", "2027-01-31T12:00:00Z\n", "２０２７-０１-３１T12:00:00Z",
    "٢٠٢٧-٠١-٣١T12:00:00Z", "2027-01-31T12:00:00.١Z", "2027-01-31T12:00:00Z\u0301", "9" * 100_000,
)  # fmt: skip


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("2027-01-31T12:00:00Z", NOON),
        ("2027-01-31t12:00:00z", NOON),
        ("2027-01-31T17:30:00+05:30", NOON),
        ("2027-01-31T00:01:00-11:59", NOON),
        ("2027-02-01T11:59:00+23:59", NOON),
        ("2027-01-31T12:00:00-00:00", NOON),
        ("2027-01-31T12:00:00.5Z", NOON.replace(microsecond=500_000)),
        ("2027-01-31T12:00:00.000001Z", NOON.replace(microsecond=1)),
        ("2027-01-31T12:00:00.1234567Z", NOON.replace(microsecond=123_456)),
        ("2027-01-31T12:00:00.999999999Z", NOON.replace(microsecond=999_999)),
        ("2027-01-31T12:00:00." + "0" * 100_000 + "Z", NOON),
        ("1900-01-01T00:00:00Z", datetime(1900, 1, 1, tzinfo=UTC)),
        (
            "2200-12-31T23:59:59.9999999Z",
            datetime(2200, 12, 31, 23, 59, 59, 999_999, tzinfo=UTC),
        ),
        ("2024-02-29T00:00:00+05:30", datetime(2024, 2, 28, 18, 30, tzinfo=UTC)),
    ],
)
def test_rfc_3339_with_an_offset_is_parsed_to_utc(text, moment):
    parsed = parse_datetime(text)

    assert (parsed, parsed.tzinfo) == (moment, UTC)


@pytest.mark.parametrize("text", INVALID_DATETIMES, ids=lambda text: ascii(text[:40]))
def test_other_text_is_refused(text):
    with pytest.raises(ValueError, match=r"not a date|out of range|month|day|hour|minute|second"):
        parse_datetime(text)


@pytest.mark.parametrize("value", [None, 0, 1.5, True, [], {}, b"2027-01-31T12:00:00Z", NOON])
def test_value_other_than_text_is_refused(value):
    with pytest.raises(ValueError, match="not a date and time"):
        parse_datetime(value)


@given(
    st.datetimes(datetime(1900, 1, 2), datetime(2200, 12, 30), timezones=st.timezones())  # noqa: DTZ001
)
def test_iso_format_round_trips(moment):
    if moment.utcoffset().total_seconds() % 60 == 0:
        assert parse_datetime(moment.isoformat()) == moment.astimezone(UTC)


@given(st.text())
def test_any_text_is_parsed_within_range_or_refused(text):
    try:
        moment = parse_datetime(text)
    except ValueError:
        return
    assert 1900 <= moment.year <= 2200


@pytest.mark.parametrize(
    "text",
    [
        "20080229",
        "2008-W09-5",
        "2008-060",
        "2007-02-29",
        "2008-2-29",
        "２００８-０２-２９",
        "",
        "\0",
        None,
        5,
    ],
)
def test_other_notation_of_a_date_is_refused(text):
    with pytest.raises(ValueError, match=r"not a date|day"):
        parse_date(text)


def test_date_is_parsed_from_year_month_day():
    assert parse_date("2008-02-29") == date(2008, 2, 29)
