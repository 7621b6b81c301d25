-- What a subscription costs, period by period, and what comes of changes in between.

-- A code takes something off the base fees. deleted_at: redeemed no more; what runs goes on.
CREATE TABLE billing_discounts (
    id ${pk},
    tenant_id ${int} NOT NULL DEFAULT 1 REFERENCES tenants (id),
    code ${text} NOT NULL,
    percent TEXT,
    amount_cents ${int} CHECK (amount_cents BETWEEN 1 AND 9007199254740992),
    currency TEXT CHECK (length(currency) = 3),
    duration TEXT NOT NULL CHECK (duration IN ('once', 'months', 'forever')),
    months ${int} CHECK (months BETWEEN 1 AND 120),
    max_uses ${int} CHECK (max_uses >= 1),
    uses ${int} NOT NULL DEFAULT 0 CHECK (uses >= 0),
    created_at ${text} NOT NULL,
    created_by TEXT,
    deleted_at ${text},
    CHECK ((percent IS NULL) <> (amount_cents IS NULL)),
    CHECK ((amount_cents IS NULL) = (currency IS NULL)),
    CHECK ((duration = 'months') = (months IS NOT NULL)),
    CHECK (uses <= max_uses)
);
CREATE UNIQUE INDEX billing_discounts_code ON billing_discounts (tenant_id, code) WHERE deleted_at IS NULL;

-- Who has used which code: once each. It takes something off every fee that begins from runs_from on
-- (00:00 of that day) and before ends_at (NULL: for ever);
-- one that is good for a single fee says in spent_at when it was.
CREATE TABLE billing_redemptions (
    id ${pk},
    tenant_id ${int} NOT NULL DEFAULT 1 REFERENCES tenants (id),
    user_id ${user_key} NOT NULL REFERENCES ${users} (${users_id}),
    discount_id ${int} NOT NULL REFERENCES billing_discounts (id),
    redeemed_at ${text} NOT NULL,
    runs_from ${text} NOT NULL,
    ends_at ${text},
    spent_at ${text},
    UNIQUE (discount_id, user_id)
);
CREATE INDEX billing_redemptions_user ON billing_redemptions (user_id, id);

-- A period that has begun: what is written here is never worked out again. The fee is that of the part from starts_at to
-- nominal_end of the nominal period, also when it was left before, at ends_at; price_cents is what the whole nominal period costs now, after discount, and changes
-- with the plan. charged and credited are all that the period has cost and given back, so that no credit exceeds it.
CREATE TABLE billing_periods (
    id ${pk},
    tenant_id ${int} NOT NULL DEFAULT 1 REFERENCES tenants (id),
    user_id ${user_key} NOT NULL REFERENCES ${users} (${users_id}),
    subscription_id ${int} NOT NULL REFERENCES saas_subscriptions (id),
    plan_id ${int} NOT NULL REFERENCES billing_plans (id),
    month ${text} NOT NULL,
    starts_at ${text} NOT NULL,
    ends_at ${text} NOT NULL,
    nominal_start ${text} NOT NULL,
    nominal_end ${text} NOT NULL,
    fee_cents ${int} NOT NULL CHECK (fee_cents BETWEEN 0 AND 9007199254740992),
    discount_cents ${int} NOT NULL DEFAULT 0 CHECK (discount_cents BETWEEN 0 AND fee_cents),
    redemption_id ${int} REFERENCES billing_redemptions (id),
    price_cents ${int} NOT NULL CHECK (price_cents BETWEEN 0 AND 9007199254740992),
    charged_cents ${int} NOT NULL CHECK (charged_cents >= 0),
    credited_cents ${int} NOT NULL DEFAULT 0 CHECK (credited_cents BETWEEN 0 AND charged_cents),
    currency TEXT NOT NULL CHECK (length(currency) = 3),
    opened_at ${text} NOT NULL,
    invoice_id ${int} REFERENCES invoices (id),
    CHECK (starts_at <= ends_at),
    CHECK (nominal_start <= starts_at AND ends_at <= nominal_end)
);
-- One that was left on the day it began has no length, and another may begin there.
CREATE UNIQUE INDEX billing_periods_once ON billing_periods (subscription_id, starts_at) WHERE starts_at < ends_at;
CREATE INDEX billing_periods_user ON billing_periods (user_id, starts_at);
CREATE INDEX billing_periods_unbilled ON billing_periods (tenant_id, month) WHERE invoice_id IS NULL;

-- What waits for the invoice of its month: credits and charges of changes, and single items.
CREATE TABLE billing_pending_items (
    id ${pk},
    tenant_id ${int} NOT NULL DEFAULT 1 REFERENCES tenants (id),
    user_id ${user_key} NOT NULL REFERENCES ${users} (${users_id}),
    month ${text} NOT NULL,
    kind TEXT NOT NULL CHECK (kind IN ('credit', 'charge', 'item')),
    amount_cents ${int} NOT NULL CHECK (amount_cents BETWEEN -9007199254740992 AND 9007199254740992),
    currency TEXT NOT NULL CHECK (length(currency) = 3),
    description TEXT,
    quantity TEXT,
    unit_amount TEXT,
    -- Of a change: in which period, from which plan to which (NULL: to none), and the time that it is for.
    billing_period_id ${int} REFERENCES billing_periods (id),
    from_plan_id ${int} REFERENCES billing_plans (id),
    to_plan_id ${int} REFERENCES billing_plans (id),
    period_start ${text},
    period_end ${text},
    created_at ${text} NOT NULL,
    created_by TEXT,
    invoice_id ${int} REFERENCES invoices (id),
    CHECK ((kind = 'credit' AND amount_cents < 0) OR (kind = 'charge' AND amount_cents > 0) OR kind = 'item')
);
CREATE INDEX billing_pending_items_unbilled ON billing_pending_items (tenant_id, month) WHERE invoice_id IS NULL;
CREATE INDEX billing_pending_items_user ON billing_pending_items (user_id, month);

-- The time that billing believes it is, outside production. No row: the real one.
CREATE TABLE billing_test_clock (
    id INTEGER PRIMARY KEY CHECK (id = 1),
    now ${text} NOT NULL,
    set_at ${text} NOT NULL
);
