"""The table that people read, and the JSON that programs read."""

from __future__ import annotations

import os
import platform
import sqlite3
from typing import Any

from bench.registry import Row
from bench.timing import Spread

HEADINGS = ("what", "ours", "compared with", "theirs", "ratio (low–high)", "required", "")


def table(rows: list[Row]) -> str:
    """Columns as wide as they need to be."""
    lines = [HEADINGS, *(_cells(row) for row in rows)]
    widths = [max(len(line[column]) for line in lines) for column in range(len(HEADINGS))]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip() for line in lines
    )


def _cells(row: Row) -> tuple[str, ...]:
    ratio = f"{row.ratio.median:.2f} ({row.ratio.low:.2f}–{row.ratio.high:.2f})"
    verdict = {True: "ok", False: "SHORT", None: ""}[row.ok]
    return (
        row.what,
        f"{_figure(row.ours.median)} {row.unit}",
        row.compared_with,
        f"{_figure(row.theirs.median)} {row.unit}",
        ratio,
        row.required,
        verdict,
    )


def _figure(value: float) -> str:
    return f"{value:.1f}" if value < 100 else f"{value:.0f}"


def as_json(rows: list[Row], not_run: dict[str, str]) -> dict[str, Any]:
    return {
        "machine": machine(),
        "rows": [
            {
                "what": row.what,
                "unit": row.unit,
                "ours": vars(row.ours),
                "compared_with": row.compared_with,
                "theirs": vars(row.theirs),
                "ratio": _rounded(row.ratio),
                "required": row.required or None,
                "ok": row.ok,
            }
            for row in rows
        ],
        "not_run": not_run,
    }


def _rounded(spread: Spread) -> dict[str, float]:
    return {name: round(value, 4) for name, value in vars(spread).items()}


def machine() -> dict[str, Any]:
    """What the figures were taken on; the load says whether it had other work."""
    return {
        "cores": os.cpu_count(),
        "load": round(os.getloadavg()[0], 2),
        "python": platform.python_version(),
        "sqlite": sqlite3.sqlite_version,
        "system": f"{platform.system()} {platform.machine()}",
    }
