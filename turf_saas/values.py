"""Small shared words: ids, texts, instants, days and months."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta, tzinfo
from functools import cached_property, lru_cache

UserId = int | str
MAX_USER_ID = 255  # letters, where it is a text

_MONTH = re.compile(r"([0-9]{4})-([0-9]{2})")


def can_be_stored(text: str) -> bool:
    """PostgreSQL holds no NUL, and half of a surrogate pair is no UTF-8."""
    return "\0" not in text and (text.isascii() or not any("\ud800" <= letter <= "\udfff" for letter in text))


def plain(text: object, most: int = 60) -> str:
    """For a terminal: another program's word may hold anything."""
    return re.sub(r"[^ -~À-ÿ]", "?", str(text))[:most]


@lru_cache(maxsize=64)  # one instant is written into several rows
def instant_text(instant: datetime) -> str:
    """How an instant is stored and shown: UTC, whole seconds, sorts as text."""
    return instant.astimezone(UTC).isoformat()[:19] + "Z"


OLDEST = datetime(1970, 1, 1, tzinfo=UTC)  # no subscription is older, whatever another program wrote
_WRITTEN = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}Z")


@lru_cache(maxsize=1024)  # most periods of a month begin at one instant
def parse_instant(text: str) -> datetime:
    """What instant_text wrote; ValueError for anything else."""
    if not _WRITTEN.fullmatch(text):
        raise ValueError(f"{text!r} is no instant")
    return datetime.fromisoformat(text)


# Letters as they are, and no blanks. json.dumps would make an encoder anew for each.
compact_json = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode


def read_instant(text: str | None) -> datetime | None:
    """What instant_text wrote; None for what another program did, and cannot be read as an instant of our time."""
    if text is None or not _WRITTEN.fullmatch(text):
        return None
    try:
        instant = parse_instant(text)
    except ValueError:
        return None
    return instant if instant >= OLDEST else None


def read_day(text: str | None) -> date | None:
    """A day as it is stored; None for what cannot be read as one."""
    try:
        return date.fromisoformat(text) if text else None
    except ValueError:
        return None


def local_day(instant: datetime, zone: tzinfo) -> date:
    return instant.astimezone(zone).date()


@lru_cache(maxsize=256)  # asked of today and of the month's last day, all day long
def end_of_day(day: date, zone: tzinfo) -> datetime:
    """The first instant after a local day. (The calendar's very edges are taken as UTC.)"""
    try:
        return datetime.combine(day + timedelta(days=1), datetime.min.time(), zone).astimezone(UTC)
    except OverflowError:
        return datetime.max.replace(microsecond=0, tzinfo=UTC)


@dataclass(frozen=True, order=True)
class Month:
    """A calendar month: the unit of limits, usage and invoices."""

    year: int
    number: int

    @classmethod
    def parse(cls, text: str) -> Month | None:
        """The month that `YYYY-MM` names, or None. ASCII digits only, year 0001 to 9999."""
        match = _MONTH.fullmatch(text)
        if match is None:
            return None
        year, number = int(match[1]), int(match[2])
        return cls(year, number) if year >= 1 and 1 <= number <= 12 else None

    @classmethod
    def of(cls, instant: datetime, zone: tzinfo) -> Month:
        day = local_day(instant, zone)
        return cls(day.year, day.month)

    def __str__(self) -> str:
        return f"{self.year:04d}-{self.number:02d}"

    @cached_property
    def first_day(self) -> date:
        return date(self.year, self.number, 1)

    @cached_property
    def last_day(self) -> date:
        if self.number == 12:
            return date(self.year, 12, 31)
        return date(self.year, self.number + 1, 1) - timedelta(days=1)

    @property
    def before(self) -> Month:
        """The month before this one."""
        return Month(self.year, self.number - 1) if self.number > 1 else Month(self.year - 1, 12)

    def ends_at(self, zone: tzinfo) -> datetime:
        """The first instant after the month."""
        return end_of_day(self.last_day, zone)
