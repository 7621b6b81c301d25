"""What a request has to be, and what becomes of the same request sent twice."""

from __future__ import annotations

import http.client

import pytest
import stripe

from api_v1.stripe_fake import StripeFake, routes
from api_v1.stripe_fake.params import schema_of
from tests.stripe import client_of

Given = dict[str, object]


def error_of(refused: pytest.ExceptionInfo[stripe.StripeError]) -> dict[str, object]:
    body = refused.value.json_body
    assert isinstance(body, dict)
    return dict(body["error"])


def test_every_route_is_judged_by_parameters_that_the_sdk_declares() -> None:
    for route in routes.ROUTES:
        assert schema_of(route.params).__name__ == route.params.rpartition(".")[2]


@pytest.mark.parametrize(
    ("given", "code", "param"),
    [
        ({"unit_amount": 5}, "parameter_unknown", "unit_amount"),
        ({"price": "price_1"}, "parameter_unknown", "price"),
        ({"coupon": "x"}, "parameter_unknown", "coupon"),
        ({"period": {"start": 1, "end": 2, "middle": 1}}, "parameter_unknown", "period[middle]"),
        ({"period": {"start": 1}}, "parameter_missing", "period[end]"),
        ({"amount": "12.5"}, "parameter_invalid_integer", "amount"),
        ({"amount": ""}, "parameter_invalid_empty", "amount"),
        ({"customer": ""}, "parameter_invalid_empty", "customer"),
        ({"tax_behavior": "free"}, None, "tax_behavior"),
        ({"discountable": "yes"}, None, "discountable"),
        ({"unit_amount_decimal": "a lot"}, None, "unit_amount_decimal"),
        ({"metadata": "x"}, None, "metadata"),
        ({"customer": {"id": "cus_1"}}, None, "customer"),
        ({"tax_rates": "txr_1"}, None, "tax_rates"),
    ],
)
def test_a_parameter_that_stripe_would_refuse_is_refused(
    stripe_client: stripe.StripeClient, given: Given, code: str | None, param: str
) -> None:
    with pytest.raises(stripe.InvalidRequestError) as refused:
        stripe_client.v1.invoice_items.create(given)  # type: ignore[arg-type]
    error = error_of(refused)
    assert (refused.value.http_status, error["type"]) == (400, "invalid_request_error")
    assert (error.get("code"), error["param"]) == (code, param)


def test_the_parameters_of_a_list_are_judged_too(stripe_client: stripe.StripeClient) -> None:
    for given, param in [({"status": "gone"}, "status"), ({"limit": "a"}, "limit"), ({"paid": "true"}, "paid")]:
        with pytest.raises(stripe.InvalidRequestError) as refused:
            stripe_client.v1.invoices.list(given)  # type: ignore[arg-type]
        assert error_of(refused)["param"] == param


@pytest.mark.parametrize("key", ["sk_live_1234567890", "rk_live_1", "pk_test_1", "nonsense"])
def test_a_key_that_is_no_test_key_is_refused(stripe_fake: StripeFake, key: str) -> None:
    with pytest.raises(stripe.AuthenticationError) as refused:
        client_of(stripe_fake, key).v1.customers.create({})
    assert key not in str(refused.value) or len(key) < 12


def test_without_a_key_the_answer_is_401(stripe_fake: StripeFake) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", stripe_fake.port, timeout=5)
    connection.request("GET", "/v1/customers")
    assert connection.getresponse().status == 401
    connection.close()


def test_a_restricted_key_may_do_only_what_it_may(stripe_fake: StripeFake) -> None:
    stripe_fake.refused_permissions = {"customers:write"}
    restricted = client_of(stripe_fake, "rk_test_restricted")
    assert restricted.v1.customers.list().data == []
    with pytest.raises(stripe.PermissionError):
        restricted.v1.customers.create({})
    client_of(stripe_fake).v1.customers.create({})


def test_an_unknown_id_is_404_in_a_path_and_400_in_a_parameter(stripe_client: stripe.StripeClient) -> None:
    with pytest.raises(stripe.InvalidRequestError) as of_path:
        stripe_client.v1.invoices.retrieve("in_nothing")
    with pytest.raises(stripe.InvalidRequestError) as of_parameter:
        stripe_client.v1.invoices.create({"customer": "cus_nobody"})
    assert (of_path.value.http_status, of_path.value.code) == (404, "resource_missing")
    assert (of_parameter.value.http_status, of_parameter.value.code) == (400, "resource_missing")


# -- idempotency -------------------------------------------------------------------------------------------


def test_the_same_key_and_parameters_are_one_object(
    stripe_fake: StripeFake, stripe_client: stripe.StripeClient
) -> None:
    made = [stripe_client.v1.customers.create({"name": "Alice"}, {"idempotency_key": "one"}) for _ in range(3)]
    assert len({customer.id for customer in made}) == 1
    assert len(stripe_client.v1.customers.list().data) == 1
    last = made[-1].last_response
    assert last is not None
    assert last.headers["Idempotent-Replayed"] == "true"
    assert [request.replayed for request in stripe_fake.requests[:3]] == [False, True, True]


@pytest.mark.parametrize("params", [{"name": "Bob"}, {}])
def test_the_same_key_with_other_parameters_is_refused(
    stripe_client: stripe.StripeClient, params: stripe.params.CustomerCreateParams
) -> None:
    stripe_client.v1.customers.create({"name": "Alice"}, {"idempotency_key": "one"})
    with pytest.raises(stripe.IdempotencyError):
        stripe_client.v1.customers.create(params, {"idempotency_key": "one"})


def test_the_order_of_parameters_says_nothing(stripe_client: stripe.StripeClient) -> None:
    first = stripe_client.v1.customers.create({"name": "Alice", "phone": "1"}, {"idempotency_key": "one"})
    assert stripe_client.v1.customers.create({"phone": "1", "name": "Alice"}, {"idempotency_key": "one"}).id == first.id


def test_the_same_key_at_another_path_is_refused(stripe_client: stripe.StripeClient) -> None:
    stripe_client.v1.customers.create({"name": "Alice"}, {"idempotency_key": "one"})
    with pytest.raises(stripe.IdempotencyError):
        stripe_client.v1.products.create({"name": "Alice"}, {"idempotency_key": "one"})


def test_a_parameter_that_was_refused_leaves_the_key_free(stripe_client: stripe.StripeClient) -> None:
    with pytest.raises(stripe.InvalidRequestError):
        stripe_client.v1.customers.create({"nme": "x"}, {"idempotency_key": "one"})  # type: ignore[typeddict-unknown-key]
    assert stripe_client.v1.customers.create({"name": "x"}, {"idempotency_key": "one"}).name == "x"


def test_a_key_that_was_pruned_makes_a_second_object(
    stripe_fake: StripeFake, stripe_client: stripe.StripeClient
) -> None:
    first = stripe_client.v1.customers.create({"name": "x"}, {"idempotency_key": "one"})
    assert stripe_fake.prune_keys() == 0, "it is younger than a day"
    assert stripe_fake.prune_keys(older_than=0) == 1
    assert stripe_client.v1.customers.create({"name": "x"}, {"idempotency_key": "one"}).id != first.id


def test_a_key_of_256_characters_is_too_long(stripe_client: stripe.StripeClient) -> None:
    stripe_client.v1.customers.create({}, {"idempotency_key": "k" * 255})
    with pytest.raises(stripe.InvalidRequestError):
        stripe_client.v1.customers.create({}, {"idempotency_key": "k" * 256})


def test_the_journal_says_what_was_asked_and_answered(
    stripe_fake: StripeFake, stripe_client: stripe.StripeClient
) -> None:
    stripe_client.v1.customers.create({"name": "x", "metadata": {"a": "b"}}, {"idempotency_key": "one"})
    entry = stripe_fake.requests[-1]
    assert (entry.method, entry.path, entry.status) == ("POST", "/v1/customers", 200)
    assert entry.params == {"name": "x", "metadata": {"a": "b"}}
    assert (entry.idempotency_key, entry.key_prefix) == ("one", "sk_test_")
    assert entry.stripe_version == "2026-10-28.endive"
