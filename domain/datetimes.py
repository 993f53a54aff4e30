"""Dates and times as text: RFC 3339, section 5.6, and no other notation."""

import re
from datetime import UTC, date, datetime, timedelta, timezone
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

FIRST_YEAR = 1900
LAST_YEAR = 2200

_DATETIME = re.compile(
    r"(?P<year>[0-9]{4})-(?P<month>[0-9]{2})-(?P<day>[0-9]{2})[Tt]"
    r"(?P<hour>[0-9]{2}):(?P<minute>[0-9]{2}):(?P<second>[0-9]{2})(?:\.(?P<fraction>[0-9]+))?"
    r"(?:[Zz]|(?P<sign>[+-])(?P<hours>[01][0-9]|2[0-3]):(?P<minutes>[0-5][0-9]))"
)
_DATE = re.compile(r"([0-9]{4})-([0-9]{2})-([0-9]{2})")
_MICROSECOND_DIGITS = 6


def parse_datetime(text: object) -> datetime:
    """A moment in UTC, from a text with date, time and offset, in the years 1900 to 2200.

    Both the written year and the year in UTC must be in that range. Digits after microseconds are
    dropped, so that no moment is rounded into the next second. Raises ValueError, also for leap
    seconds, which Python does not support.
    """
    match = _DATETIME.fullmatch(text) if isinstance(text, str) else None
    if match is None:
        raise ValueError("not a date and time")
    year, month, day, hour, minute, second = map(int, match.groups()[:6])
    fraction = (match["fraction"] or "")[:_MICROSECOND_DIGITS].ljust(_MICROSECOND_DIGITS, "0")
    if hour > 23 or not FIRST_YEAR <= year <= LAST_YEAR:  # noqa: PLR2004 - hours of a day
        raise ValueError("hour or year out of range")
    local = datetime(year, month, day, hour, minute, second, int(fraction), tzinfo=_offset(match))
    moment = local.astimezone(UTC)
    if not FIRST_YEAR <= moment.year <= LAST_YEAR:
        raise ValueError("year out of range in UTC")
    return moment


def parse_date(text: object) -> date:
    """A calendar date written YYYY-MM-DD. Raises ValueError."""
    match = _DATE.fullmatch(text) if isinstance(text, str) else None
    if match is None:
        raise ValueError("not a date")
    year, month, day = map(int, match.groups())
    return date(year, month, day)


def load_time_zone(name: str) -> ZoneInfo:
    """The time zone with this IANA name; UTC for a name that only PostgreSQL knows."""
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError):
        return ZoneInfo("UTC")


def format_utc(value: datetime) -> str:
    """RFC 3339 in UTC with microseconds, a form that PostgreSQL can print too."""
    return f"{value.astimezone(UTC).isoformat(timespec='microseconds')[:-6]}Z"


def local_date(time_zone: str, moment: datetime) -> date:
    """The calendar date of a moment in the time zone with this IANA name."""
    return moment.astimezone(load_time_zone(time_zone)).date()


def _offset(match: re.Match[str]) -> timezone:
    if match["sign"] is None:
        return UTC
    offset = timedelta(hours=int(match["hours"]), minutes=int(match["minutes"]))
    return timezone(-offset if match["sign"] == "-" else offset)
