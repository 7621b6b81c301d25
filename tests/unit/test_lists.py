"""A page of a list, and how one goes on."""

from __future__ import annotations

import pytest

from api_v1.cursors import read_cursor
from api_v1.lists import page


@pytest.mark.parametrize("there", [0, 1, 2, 3])
def test_a_list_that_fits_on_a_page_has_no_next_one(there: int) -> None:
    rows = list(range(there))
    assert page(rows, 3, lambda row: (row,)) == (rows, None)


def test_one_row_more_than_the_page_is_not_shown_and_the_cursor_stands_at_the_last_that_is() -> None:
    shown, cursor = page([30, 20, 10, 0], 3, lambda row: ("at", row))
    assert shown == [30, 20, 10]
    assert cursor is not None
    assert read_cursor(cursor, str, int) == ("at", 10)
