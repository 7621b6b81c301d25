"""Lists that are read a page at a time: which part is asked for, and how one goes on."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Annotated, Any, TypeVar

from pydantic import BeforeValidator, Field

from api_v1.cursors import MAX_LENGTH as MAX_CURSOR, cursor_after
from api_v1.schemas import Input, Text

Row = TypeVar("Row")


def _from_digits(given: Any) -> Any:
    """A query is text: its digits are the number."""
    return int(given) if isinstance(given, str) and re.fullmatch("[0-9]{1,18}", given) else given


PageSize = Annotated[int, Field(ge=1, le=100), BeforeValidator(_from_digits)]


class Page(Input):
    """Which part of a list."""

    limit: PageSize = 50
    cursor: Annotated[Text, Field(max_length=MAX_CURSOR)] | None = None


def page(
    rows: Sequence[Row], limit: int, position: Callable[[Row], tuple[str | int, ...]]
) -> tuple[Sequence[Row], str | None]:
    """The first `limit` rows, and the cursor that goes on after them; None at the end of the list.

    Ask the domain for one row more than the limit: it tells that there are more. `position` is a row's sort key.
    """
    shown = rows[:limit]
    return shown, cursor_after(*position(shown[-1])) if len(rows) > limit else None
