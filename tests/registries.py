"""Says how old the copy of IANA's registries is: ``python -m tests.registries``, for ``make lint``.

No test does that: a checkout that was green stays green.
"""

from __future__ import annotations

import sys
from datetime import date

from aioconnect.special_addresses import CHECKED

YEARS = 2


def reminder(checked: date, today: date) -> str:
    """Return the line to print, empty as long as the copy is young enough."""
    due = checked.replace(year=checked.year + YEARS, day=min(checked.day, 28))
    if today < due:
        return ""
    return (
        f"aioconnect/special_addresses.py was compared with IANA's registries on {checked}, "
        f"{YEARS} years ago or more: compare it again"
    )


if __name__ == "__main__":
    line = reminder(date.fromisoformat(CHECKED), date.today())
    if line:
        sys.stdout.write(line + "\n")
