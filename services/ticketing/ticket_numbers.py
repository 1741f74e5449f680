"""Ticket numbers, as OTRS's three generators make them. Pure.

`date_checksum`: day, system id, counter of the day, check digit; `date`: the same without the check digit;
`auto_increment`: system id and a counter that never starts anew.
"""

from datetime import date, datetime
from zoneinfo import ZoneInfo

from shared.desk.model import Ticket

_ALL_DAYS = date(1970, 1, 1)
"""Under which a counter stands that is no day's."""


def day_of(moment: datetime, zone: ZoneInfo) -> date:
    """The day on which a ticket is counted: the desk's, not the server's."""
    return moment.astimezone(zone).date()


def counting_day(settings: Ticket, moment: datetime, zone: ZoneInfo) -> date:
    """The day whose counter is used."""
    return _ALL_DAYS if settings.number_generator == "auto_increment" else day_of(moment, zone)


def number_of(settings: Ticket, day: date, counter: int) -> str:
    """The number of ticket `counter` (from 1)."""
    if settings.number_generator == "auto_increment":
        return f"{settings.system_id}{counter:0{settings.min_counter_size}d}"
    number = ticket_number(day, settings.system_id, counter)
    return number if settings.number_generator == "date_checksum" else number[:-1]


def ticket_number(day: date, system_id: str, counter: int) -> str:
    """Number of the day's ticket `counter` (from 1); the counter has at least five digits."""
    digits = f"{day.isoformat().replace('-', '')}{system_id}{counter:05d}"
    return f"{digits}{check_digit(digits)}"


def counted(number: str, settings: Ticket) -> tuple[date, int] | None:
    """Day and counter of a number of ours; None for what `number_of` gives to no ticket of this system."""
    if settings.number_generator == "auto_increment":
        day, counter = _ALL_DAYS, number[len(settings.system_id) :]
    else:
        end = len(number) - (settings.number_generator == "date_checksum")
        counter = number[8 + len(settings.system_id) : end]
        try:
            day = date.fromisoformat(f"{number[:4]}-{number[4:6]}-{number[6:8]}")
        except ValueError:
            return None
    if not (counter.isascii() and counter.isdecimal()) or number_of(settings, day, int(counter)) != number:
        return None
    return day, int(counter)


def check_digit(digits: str) -> int:
    """Weights 1, 2, 1, 2 … from the left; ten minus the sum's last digit, and 1 for ten.

    A product of two digits counts as it is, unlike in the Luhn formula.
    """
    total = sum(map(int, digits)) + sum(map(int, digits[1::2]))
    check = 10 - total % 10
    return 1 if check == 10 else check
