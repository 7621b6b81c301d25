-- Money that a payment service brings: what it tells us, what we ask of it, and what became of both.

-- What became of an event: applied, ignored, deferred (what it is about is not known yet), mismatch (it contradicts what
-- we know), failed (parked). waits_for: the id of what is not known yet. attempts: all of them; failures: of what can be
-- applied, and was not.
CREATE TABLE billing_received_events (
    event_id ${int} PRIMARY KEY REFERENCES billing_events (id),
    tenant_id ${int} NOT NULL DEFAULT 1 REFERENCES tenants (id),
    status TEXT NOT NULL CHECK (status IN ('received', 'applied', 'ignored', 'deferred', 'mismatch', 'failed')),
    object_id ${text},
    happened_at ${text} NOT NULL,
    api_version TEXT,
    account TEXT,
    waits_for ${text},
    note TEXT,
    attempts ${int} NOT NULL DEFAULT 0,
    failures ${int} NOT NULL DEFAULT 0,
    -- Of the body, which is forgotten some time after it was settled.
    sha256 TEXT NOT NULL,
    forgotten_at ${text},
    received_at ${text} NOT NULL,
    settled_at ${text}
);
CREATE INDEX billing_received_events_object ON billing_received_events (object_id, happened_at);
CREATE INDEX billing_received_events_kept ON billing_received_events (received_at)
    WHERE forgotten_at IS NULL AND status IN ('applied', 'ignored');
CREATE INDEX billing_received_events_waiting ON billing_received_events (waits_for) WHERE waits_for IS NOT NULL;
CREATE INDEX billing_received_events_open ON billing_received_events (status, event_id)
    WHERE status IN ('deferred', 'mismatch', 'failed');

-- How new what we know of an object of Stripe's is: what is older changes nothing. Of the same second the higher rank
-- is the newer.
CREATE TABLE billing_stripe_objects (
    id ${text} PRIMARY KEY,
    tenant_id ${int} NOT NULL DEFAULT 1 REFERENCES tenants (id),
    told_at ${text} NOT NULL,
    rank ${int} NOT NULL DEFAULT 0
);

-- By what name this database is told from others at the same account of Stripe's: drawn when it is first needed.
ALTER TABLE billing_installation ADD COLUMN stripe_name TEXT;

-- Each call that changes something at Stripe: written down before it is made. subject: 'invoice:12', 'user:5'. A new
-- version has a new key: the old one may have been forgotten there, or have an answer that is no answer.
CREATE TABLE billing_stripe_calls (
    id ${pk},
    tenant_id ${int} NOT NULL DEFAULT 1 REFERENCES tenants (id),
    subject ${text} NOT NULL,
    step ${text} NOT NULL,
    version ${int} NOT NULL DEFAULT 1 CHECK (version >= 1),
    idempotency_key ${text} NOT NULL UNIQUE,
    params TEXT NOT NULL,
    status TEXT NOT NULL DEFAULT 'pending' CHECK (status IN ('pending', 'done', 'given_up')),
    answer_id TEXT,
    sent_at ${text} NOT NULL,
    answered_at ${text},
    last_error TEXT,
    UNIQUE (subject, step, version)
);

-- An invoice as the gateway collects it. waiting: not there yet; carried: too small to be collected alone, it goes with
-- carried_into; parked: somebody has to look; mismatch: what was paid there is not what we asked for.
CREATE TABLE billing_gateway_invoices (
    invoice_id ${int} PRIMARY KEY REFERENCES invoices (id),
    tenant_id ${int} NOT NULL DEFAULT 1 REFERENCES tenants (id),
    user_id ${user_key} NOT NULL REFERENCES ${users} (${users_id}),
    gateway TEXT NOT NULL,
    provider_id ${text} UNIQUE,
    status TEXT NOT NULL DEFAULT 'waiting' CHECK (status IN ('waiting', 'skipped', 'carried', 'draft', 'open', 'paid',
                                                             'void', 'uncollectible', 'mismatch', 'parked')),
    amount_cents ${int} NOT NULL CHECK (amount_cents >= 0),
    carried_into ${int} REFERENCES invoices (id),
    hosted_url TEXT,
    attempt_count ${int} NOT NULL DEFAULT 0,
    next_attempt_at ${text},
    first_failed_at ${text},
    last_error TEXT,
    held_by ${int}, -- the job that brings the gateway to where it should be: one at a time
    created_at ${text} NOT NULL,
    updated_at ${text} NOT NULL
);
CREATE INDEX billing_gateway_invoices_user ON billing_gateway_invoices (user_id, status);
CREATE INDEX billing_gateway_invoices_unsent ON billing_gateway_invoices (invoice_id)
    WHERE status IN ('waiting', 'draft');
CREATE INDEX billing_gateway_invoices_failed ON billing_gateway_invoices (first_failed_at)
    WHERE first_failed_at IS NOT NULL;
CREATE INDEX billing_gateway_invoices_carried ON billing_gateway_invoices (carried_into)
    WHERE carried_into IS NOT NULL;

-- Which of a payment's ids at Stripe we know. gateway_key: what it was noted for, so that it is noted once.
ALTER TABLE billing_payments ADD COLUMN gateway TEXT;
ALTER TABLE billing_payments ADD COLUMN gateway_key ${text};
ALTER TABLE billing_payments ADD COLUMN stripe_payment_intent_id ${text};
ALTER TABLE billing_payments ADD COLUMN stripe_charge_id ${text};
CREATE UNIQUE INDEX billing_payments_gateway_key ON billing_payments (gateway_key) WHERE gateway_key IS NOT NULL;
CREATE UNIQUE INDEX billing_payments_intent ON billing_payments (stripe_payment_intent_id)
    WHERE stripe_payment_intent_id IS NOT NULL;
CREATE UNIQUE INDEX billing_payments_charge ON billing_payments (stripe_charge_id) WHERE stripe_charge_id IS NOT NULL;

-- Each try to collect an invoice. hard: no further try with this card makes sense.
CREATE TABLE billing_payment_attempts (
    id ${pk},
    tenant_id ${int} NOT NULL DEFAULT 1 REFERENCES tenants (id),
    user_id ${user_key} NOT NULL REFERENCES ${users} (${users_id}),
    invoice_id ${int} NOT NULL REFERENCES invoices (id),
    attempt_key ${text} NOT NULL,
    status TEXT NOT NULL CHECK (status IN ('succeeded', 'failed', 'action_required', 'mismatch')),
    amount_cents ${int} NOT NULL,
    currency TEXT NOT NULL CHECK (length(currency) = 3),
    code TEXT,
    hard INTEGER NOT NULL DEFAULT 0 CHECK (hard IN (0, 1)),
    payment_id ${int} REFERENCES billing_payments (id),
    next_attempt_at ${text},
    happened_at ${text} NOT NULL,
    created_at ${text} NOT NULL,
    UNIQUE (invoice_id, attempt_key)
);
CREATE INDEX billing_payment_attempts_user ON billing_payment_attempts (user_id, id);

-- Money of a payment that goes back to whoever paid. booked_cents: how much of it is in the books; what fails is taken
-- out of them again. credited_cents: how much of it a credit note was issued for. stripe_refund_id: NULL until Stripe
-- has it, or while only a sum is known; of money that a lost dispute took, the dispute's. failure: why it was not sent.
CREATE TABLE billing_refunds (
    id ${pk},
    tenant_id ${int} NOT NULL DEFAULT 1 REFERENCES tenants (id),
    user_id ${user_key} NOT NULL REFERENCES ${users} (${users_id}),
    payment_id ${int} NOT NULL REFERENCES billing_payments (id),
    stripe_refund_id ${text} UNIQUE,
    amount_cents ${int} NOT NULL CHECK (amount_cents > 0),
    currency TEXT NOT NULL CHECK (length(currency) = 3),
    status TEXT NOT NULL CHECK (status IN ('pending', 'action_required', 'succeeded', 'failed', 'canceled')),
    booked_cents ${int} NOT NULL DEFAULT 0 CHECK (booked_cents BETWEEN 0 AND amount_cents),
    credited_cents ${int} NOT NULL DEFAULT 0 CHECK (credited_cents >= 0),
    credit_note_id ${int} REFERENCES invoices (id),
    reason TEXT,
    failure TEXT,
    created_at ${text} NOT NULL,
    created_by TEXT,
    updated_at ${text} NOT NULL
);
CREATE INDEX billing_refunds_payment ON billing_refunds (payment_id);

-- A payment that its payer's bank calls into question. The books change when it is lost.
CREATE TABLE billing_disputes (
    id ${pk},
    tenant_id ${int} NOT NULL DEFAULT 1 REFERENCES tenants (id),
    user_id ${user_key} NOT NULL REFERENCES ${users} (${users_id}),
    payment_id ${int} NOT NULL REFERENCES billing_payments (id),
    stripe_dispute_id ${text} NOT NULL UNIQUE,
    amount_cents ${int} NOT NULL CHECK (amount_cents > 0),
    currency TEXT NOT NULL CHECK (length(currency) = 3),
    status TEXT NOT NULL,
    reason TEXT,
    evidence_due_at ${text},
    withdrawn_at ${text},
    reinstated_at ${text},
    refund_id ${int} REFERENCES billing_refunds (id),
    created_at ${text} NOT NULL,
    updated_at ${text} NOT NULL
);
CREATE INDEX billing_disputes_payment ON billing_disputes (payment_id);

-- What Stripe took for it, and what it sent to the bank.
CREATE TABLE billing_payouts (
    id ${text} PRIMARY KEY,
    tenant_id ${int} NOT NULL DEFAULT 1 REFERENCES tenants (id),
    amount_cents ${int} NOT NULL,
    currency TEXT NOT NULL CHECK (length(currency) = 3),
    status TEXT NOT NULL,
    arrives_on ${text},
    failure_code TEXT,
    read_at ${text},
    created_at ${text} NOT NULL,
    updated_at ${text} NOT NULL
);
CREATE TABLE billing_balance_transactions (
    id ${text} PRIMARY KEY,
    tenant_id ${int} NOT NULL DEFAULT 1 REFERENCES tenants (id),
    payout_id ${text} REFERENCES billing_payouts (id),
    kind TEXT NOT NULL,
    source_id TEXT,
    amount_cents ${int} NOT NULL,
    fee_cents ${int} NOT NULL,
    net_cents ${int} NOT NULL,
    currency TEXT NOT NULL CHECK (length(currency) = 3),
    created_at ${text} NOT NULL,
    CHECK (net_cents = amount_cents - fee_cents)
);
CREATE INDEX billing_balance_transactions_payout ON billing_balance_transactions (payout_id);

-- Who was sent to a page of Stripe's, and for what: written down before he is.
CREATE TABLE billing_checkouts (
    id ${pk},
    tenant_id ${int} NOT NULL DEFAULT 1 REFERENCES tenants (id),
    user_id ${user_key} NOT NULL REFERENCES ${users} (${users_id}),
    plan_id ${int} NOT NULL REFERENCES billing_plans (id),
    mode TEXT NOT NULL CHECK (mode IN ('subscription', 'setup')),
    stripe_session_id ${text} UNIQUE,
    -- processing: finished there, and the bank takes days to pay.
    status TEXT NOT NULL DEFAULT 'opening' CHECK (status IN ('opening', 'open', 'processing', 'complete', 'expired',
                                                             'failed')),
    created_at ${text} NOT NULL,
    updated_at ${text} NOT NULL
);
CREATE UNIQUE INDEX billing_checkouts_one ON billing_checkouts (user_id)
    WHERE status IN ('opening', 'open', 'processing');
CREATE INDEX billing_checkouts_user ON billing_checkouts (user_id, id);

-- Who a customer was that is deleted at Stripe: what is still told of him is about that user.
CREATE TABLE billing_former_customers (
    stripe_customer_id ${text} PRIMARY KEY,
    tenant_id ${int} NOT NULL DEFAULT 1 REFERENCES tenants (id),
    user_id ${user_key} NOT NULL REFERENCES ${users} (${users_id}) ON DELETE CASCADE,
    deleted_at ${text} NOT NULL
);
CREATE INDEX billing_former_customers_user ON billing_former_customers (user_id);

-- With what the user pays by default, as Stripe calls it: never a card's number.
ALTER TABLE billing_accounts ADD COLUMN stripe_payment_method_id TEXT;
