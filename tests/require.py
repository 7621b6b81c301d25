"""What a run may leave out. BILLING_TEST_REQUIRE=all (or postgres,chromium,…) turns those skips into failures.

A newcomer's run leaves out, with its reason, what the machine has not. `.ci/run` installs everything, so that there a
test that was left out is a fault: only what nobody can install may be missing.
"""

from __future__ import annotations

import os
from typing import NoReturn, TypeVar

import pytest

# Read at import: each test takes BILLING_* out of its environment.
REQUIRED = frozenset(filter(None, os.environ.get("BILLING_TEST_REQUIRE", "").split(",")))
Report = TypeVar("Report", pytest.TestReport, pytest.CollectReport)
NOBODY_CAN_INSTALL = ("Stripe test key", "as root", "SQLite has no", "PostgreSQL has no")


def required(what: str) -> bool:
    return bool({what, "all"} & REQUIRED)


def without(what: str, reason: str) -> NoReturn:
    """Leave this test out because `what` is not here; fail where it is required."""
    if required(what):
        pytest.fail(f"{what} is required here: {reason}", pytrace=False)
    pytest.skip(reason)


def judged(report: Report) -> Report:
    """The report as it is, or as a failure when this run may leave nothing out and it was left out."""
    if "all" in REQUIRED and report.skipped:
        reason = str(report.longrepr[2]) if isinstance(report.longrepr, tuple) else str(report.longrepr)
        if not any(words in reason for words in NOBODY_CAN_INSTALL):
            report.outcome = "failed"
            report.longrepr = f"left out where nothing may be: {reason}"
    return report
