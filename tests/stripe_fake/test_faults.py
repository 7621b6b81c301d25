"""What goes wrong on demand, as the SDK sees it."""

from __future__ import annotations

import threading

import pytest
import stripe

from api_v1.stripe_fake import StripeFake
from tests.stripe import client_of

SEEN = {
    402: stripe.CardError,
    409: stripe.APIError,
    429: stripe.RateLimitError,
    500: stripe.APIError,
    503: stripe.APIError,
}


@pytest.mark.parametrize("status", list(SEEN))
def test_the_next_request_is_answered_with_an_error_and_does_nothing(
    stripe_fake: StripeFake, stripe_client: stripe.StripeClient, status: int
) -> None:
    stripe_fake.fault("POST", "/v1/customers", status=status)
    with pytest.raises(SEEN[status]) as failed:
        stripe_client.v1.customers.create({}, {"idempotency_key": "one"})
    assert failed.value.http_status == status
    assert stripe_client.v1.customers.list().data == []
    stripe_client.v1.customers.create({}, {"idempotency_key": "one"})
    assert len(stripe_client.v1.customers.list().data) == 1


@pytest.mark.parametrize(("executed", "there"), [(False, 0), (True, 1)])
def test_a_stored_500_is_answered_again_whether_or_not_it_was_executed(
    stripe_fake: StripeFake, stripe_client: stripe.StripeClient, executed: bool, there: int
) -> None:
    stripe_fake.fault("POST", "/v1/customers", status=500, stored=True, executed=executed)
    for _ in range(2):
        with pytest.raises(stripe.APIError):
            stripe_client.v1.customers.create({}, {"idempotency_key": "one"})
    assert len(stripe_client.v1.customers.list().data) == there
    assert stripe_fake.requests[1].replayed


@pytest.mark.parametrize(("when", "there"), [("before", 0), ("after", 1)])
def test_a_dropped_connection_has_its_effect_only_when_it_is_dropped_after_it(
    stripe_fake: StripeFake, stripe_client: stripe.StripeClient, when: str, there: int
) -> None:
    stripe_fake.fault("POST", "/v1/customers", drop=when)
    with pytest.raises(stripe.APIConnectionError):
        stripe_client.v1.customers.create({}, {"idempotency_key": "one"})
    assert len(stripe_client.v1.customers.list().data) == there
    assert stripe_client.v1.customers.create({}, {"idempotency_key": "one"}).id
    assert len(stripe_client.v1.customers.list().data) == 1


def test_the_sdk_that_retries_gets_over_a_lost_answer(stripe_fake: StripeFake) -> None:
    fault = stripe_fake.fault("POST", "/v1/customers", drop="after", times=1)
    client_of(stripe_fake, retries=1).v1.customers.create({})
    assert (fault.hits, len(stripe_fake.requests)) == (1, 2)
    assert stripe_fake.requests[1].replayed, "the SDK sends its own key again"


@pytest.mark.parametrize("executed", [False, True])
def test_a_hang_lasts_until_it_is_released(stripe_fake: StripeFake, executed: bool) -> None:
    fault = stripe_fake.fault("POST", "/v1/customers", hang=60, executed=executed)
    made: list[str] = []
    thread = threading.Thread(target=lambda: made.append(client_of(stripe_fake).v1.customers.create({}).id))
    thread.start()
    assert fault.reached.wait(10)
    if not executed:
        assert client_of(stripe_fake).v1.customers.list().data == []
    assert made == [], "the answer waits"
    fault.release()
    thread.join(10)
    assert len(made) == 1
    assert len(client_of(stripe_fake).v1.customers.list().data) == 1


def test_a_client_that_does_not_wait_gives_up_a_hang(stripe_fake: StripeFake) -> None:
    fault = stripe_fake.fault("POST", "/v1/customers", hang=60)
    with pytest.raises(stripe.APIConnectionError):
        client_of(stripe_fake, timeout=0.2).v1.customers.create({})
    fault.release()


def test_a_fault_waits_for_its_path_skips_and_counts(
    stripe_fake: StripeFake, stripe_client: stripe.StripeClient
) -> None:
    fault = stripe_fake.fault("GET", "^/v1/customers$", status=503, times=2, skip=1)
    statuses = []
    for _ in range(5):
        try:
            stripe_client.v1.customers.list()
            statuses.append(200)
        except stripe.APIError as failed:
            statuses.append(failed.http_status or 0)
        stripe_client.v1.products.list()
    assert (statuses, fault.hits) == ([200, 503, 503, 200, 200], 2)


def test_while_it_is_down_nobody_is_answered(stripe_fake: StripeFake, stripe_client: stripe.StripeClient) -> None:
    stripe_fake.down = True
    with pytest.raises(stripe.APIConnectionError):
        stripe_client.v1.customers.create({})
    stripe_fake.down = False
    assert stripe_client.v1.customers.list().data == []


def test_a_fault_of_nothing_is_refused(stripe_fake: StripeFake) -> None:
    with pytest.raises(ValueError, match="a status, a hang or a drop"):
        stripe_fake.fault("GET")
