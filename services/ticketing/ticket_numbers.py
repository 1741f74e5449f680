"""Ticket numbers: day, system id, counter of the day, check digit (OTRS `DateChecksum`). Pure."""

from datetime import date, datetime
from zoneinfo import ZoneInfo


def day_of(moment: datetime, zone: ZoneInfo) -> date:
    """The day on which a ticket is counted: the desk's, not the server's."""
    return moment.astimezone(zone).date()


def ticket_number(day: date, system_id: str, counter: int) -> str:
    """Number of the day's ticket `counter` (from 1); the counter has at least five digits."""
    digits = f"{day.isoformat().replace('-', '')}{system_id}{counter:05d}"
    return f"{digits}{check_digit(digits)}"


def counted(number: str, system_id: str) -> tuple[date, int] | None:
    """Day and counter of a number of ours; None for what `ticket_number` gives to no ticket of this system."""
    counter = number[8 + len(system_id) : -1]
    try:
        day = date.fromisoformat(f"{number[:4]}-{number[4:6]}-{number[6:8]}")
    except ValueError:
        return None
    if not (counter.isascii() and counter.isdecimal()) or ticket_number(day, system_id, int(counter)) != number:
        return None
    return day, int(counter)


def check_digit(digits: str) -> int:
    """Weights 1, 2, 1, 2 … from the left; ten minus the sum's last digit, and 1 for ten.

    A product of two digits counts as it is, unlike in the Luhn formula.
    """
    total = sum(map(int, digits)) + sum(map(int, digits[1::2]))
    check = 10 - total % 10
    return 1 if check == 10 else check
