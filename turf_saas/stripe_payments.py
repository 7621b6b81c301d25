"""Which payment of ours something at Stripe is about: by the ids that we have noted for it, and by nothing else."""

from __future__ import annotations

from billing_db import Connection, execute, fetch_one
from turf_saas import payments
from turf_saas.payments import Payment
from turf_saas.stripe_applying import Unknown
from turf_saas.stripe_objects import Json, cents, currency_of, sid


def find_payment(db: Connection, intent_id: str | None, charge_id: str | None) -> Payment | None:
    """The payment that the intent, or the charge, has brought."""
    row = fetch_one(
        db,
        """SELECT id, tenant_id FROM billing_payments
            WHERE stripe_charge_id = :charge OR stripe_payment_intent_id = :intent
            ORDER BY CASE WHEN stripe_charge_id = :charge THEN 0 ELSE 1 END LIMIT 1""",
        charge=charge_id or "",
        intent=intent_id or "",
    )
    return payments.get_payment(db, row["tenant_id"], row["id"]) if row is not None else None


def recognize(db: Connection, intent_id: str | None, charge_id: str | None) -> Payment | None:
    """The same. One that was known by its intent alone is known by its charge, too, from now on: that is written."""
    found = find_payment(db, intent_id, charge_id)
    if found is not None and charge_id is not None:
        execute(
            db,
            """UPDATE billing_payments SET stripe_charge_id = :charge
                WHERE id = :id AND stripe_charge_id IS NULL
                  AND NOT EXISTS (SELECT 1 FROM billing_payments AS other WHERE other.stripe_charge_id = :charge)""",
            charge=charge_id,
            id=found.id,
        )
    return payments.get_payment(db, found.tenant_id, found.id) if found is not None else None


def get_payment_of(db: Connection, about: Json) -> Payment:
    """The payment that a refund or a dispute is about; Unknown while it is not known here."""
    intent_id, charge_id = sid(about.get("payment_intent")), sid(about.get("charge"))
    found = recognize(db, intent_id, charge_id)
    if found is None:
        raise Unknown(intent_id or charge_id or "the payment")
    return found


def fault_of(payment: Payment, about: Json, amount: int | None) -> str | None:
    """Why this cannot be about that payment."""
    if currency_of(about) != payment.currency:
        return f"payment {payment.id} is in {payment.currency}, and this is in {currency_of(about)}"
    return None if amount is not None and amount > 0 else "it has no amount"


def amount_of(about: Json) -> int | None:
    return cents(about.get("amount"))
