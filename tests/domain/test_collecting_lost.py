"""What is lost between us and Stripe at each step of the way: workers that are killed, answers, keys, a whole day."""

from __future__ import annotations

import os
import traceback
from typing import Any

import pytest

import billing_db
from api_v1.stripe_fake import StripeFake
from billing_db import Connection
from tests.cast import Cast, Person
from tests.collected import Collector, calls, issue, settings_for
from tests.issued import line
from tests.stripe import KEY
from turf_saas import jobs
from turf_saas.job_kinds import KINDS
from turf_saas.stripe_gateway import StripeGateway
from turf_saas.working import Around, run_stored

KILLED = 9
STEPS = ["customer", "create", "line-1", "line-2", "tax-1", "finalize"]  # of the invoice below: each one call


@pytest.fixture
def collector(db: Connection, stripe_fake: StripeFake) -> Collector:
    return Collector(db, stripe_fake)


def bill(collector: Collector, user: Person) -> Any:
    return issue(collector.db, collector.settings, user, line(4_900), line(100))


def assert_stands_once(collector: Collector, *, cents: int = 6_000) -> None:
    """One customer, one invoice with each line once, finalized once."""
    (there,) = collector.at_stripe()
    assert (there["status"], there["total"]) == ("open", cents)
    assert [one["amount"] for one in there["lines"]["data"]] == [4_900, 100, 1_000]
    objects = list(collector.fake.objects.values())
    assert len([one for one in objects if one["object"] == "customer"]) == 1
    assert len([one for one in objects if one["object"] == "invoiceitem"]) == 3
    finalized = [event for event in collector.fake.events if event["type"] == "invoice.finalized"]
    assert len(finalized) == 1
    assert {step.rpartition(" ")[2] for step in calls(collector.db)} <= {"done", "given_up"}
    rows = [row for row in calls(collector.db) if row.endswith("done")]
    assert [row.split()[0] for row in rows] == STEPS


class Dying(StripeGateway):
    """The process is gone the moment after Stripe has answered so many writes."""

    def __init__(self, fake: StripeFake, writes: int) -> None:
        super().__init__(KEY, fake.url, retries=0)
        self._left = writes

    def _write(self, name: str, params: Any, key: str, *ids: str) -> Any:
        answer = super()._write(name, params, key, *ids)
        self._left -= 1
        if not self._left:
            os._exit(KILLED)
        return answer


def work_until_killed(url: str, collector: Collector, writes: int) -> int:
    """A process of its own, which works as a worker does; how it ended."""
    pid = os.fork()
    if pid:
        return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    try:
        stripe = Dying(collector.fake, writes)
        around = Around(settings_for(collector.fake), gateway=stripe, stripe=stripe)
        run_stored(billing_db.connect(url), collector.clock, around, KINDS)
        os._exit(0)
    except BaseException:
        traceback.print_exc()
    finally:
        os._exit(1)


def test_a_worker_may_be_killed_after_each_answer(collector: Collector, url: str, alice: Person) -> None:
    """Each one that follows finds out what the one before has done, gets one step further, and is killed, too."""
    bill(collector, alice)
    ends = [work_until_killed(url, collector, 1)]
    while ends[-1] == KILLED and len(ends) < 20:
        collector.clock.pass_(minutes=6)  # the lease of the dead ends
        ends.append(work_until_killed(url, collector, 2))
    assert ends == [*[KILLED] * len(STEPS), 0]
    assert_stands_once(collector)


def lose_each(
    collector: Collector, hours: float, fault: dict[str, Any], *, found: bool, forgotten: bool = False
) -> int:
    """The answer of each step is lost once; how many were. found: what was done is looked up, and not asked again."""
    lost = 0
    for _ in range(3 * len(STEPS)):
        collector.fake.faults.clear()
        if fault.get("stored") and lost:  # that is what the key brings from now on
            collector.work_through(hours)
        if len(steps_done(collector)) == len(STEPS):
            break
        set_up = collector.fake.fault("POST", "/v1/", skip=0 if found or not lost else 1, **fault)
        collector.work_through(hours)
        lost += set_up.hits
        if forgotten:
            collector.fake.prune_keys(0)
    collector.work_through(hours)
    return lost


def steps_done(collector: Collector) -> list[str]:
    return [row for row in calls(collector.db) if row.endswith("done")]


@pytest.mark.parametrize(
    ("fault", "found"),
    [
        ({"drop": "before"}, False),
        ({"drop": "after"}, False),
        ({"status": 503}, False),
        ({"status": 409}, False),
        ({"status": 429}, False),
        ({"status": 500, "stored": True}, False),
        ({"status": 500, "stored": True, "executed": True}, True),
    ],
    ids=str,
)
def test_an_answer_may_be_lost_at_each_step(
    collector: Collector, alice: Person, fault: dict[str, Any], found: bool
) -> None:
    bill(collector, alice)
    assert lose_each(collector, 1, fault, found=found) == len(STEPS)
    assert_stands_once(collector)
    assert not [job for job in jobs.list_jobs(collector.db) if job.state == "dead"]
    kept = {"v2"} if fault.get("stored") and not found else {"v1"}
    assert {row.split()[1] for row in steps_done(collector)} == kept


@pytest.mark.parametrize("executed", [True, False])
def test_a_key_may_be_forgotten_at_each_step(collector: Collector, alice: Person, executed: bool) -> None:
    """For more than a day nobody heard of it: what is there is looked up first, and nothing is done twice."""
    bill(collector, alice)
    fault = {"drop": "after" if executed else "before"}
    assert lose_each(collector, 25, fault, found=executed, forgotten=True) == len(STEPS)
    assert_stands_once(collector)
    assert {row.split()[1] for row in steps_done(collector)} == {"v1" if executed else "v2"}


def test_stripe_may_be_down_for_a_day(collector: Collector, people: Cast, stripe_fake: StripeFake) -> None:
    """Invoices are issued meanwhile, one request in a while is all that is tried, and then each is collected once."""
    stripe_fake.down = True
    issued = []
    for hour in range(24):
        if hour % 8 == 0:
            issued.append(issue(collector.db, collector.settings, people.bob, 1_000, month=f"2026-0{hour // 8 + 1}"))
            issued.append(issue(collector.db, collector.settings, people.alice, 500, month=f"2026-0{hour // 8 + 1}"))
        ran = collector.work_through(1)
        assert (ran.completed, ran.dead) == (0, 0)
        assert ran.retryable <= 1  # the others wait without trying
    stripe_fake.down = False
    collector.work_through(2)
    collector.work_through(2)
    there = collector.at_stripe()
    assert sorted(one["total"] for one in there) == [600, 600, 600, 1_200, 1_200, 1_200]
    assert {one["status"] for one in there} == {"open"}
    assert {one["metadata"]["local_invoice_id"] for one in there} == {str(invoice.id) for invoice in issued}
    assert {collector.row(invoice).status for invoice in issued} == {"open"}
    assert {job.state for job in jobs.list_jobs(collector.db)} == {"completed"}
