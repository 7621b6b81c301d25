-- Invoices: issued once, numbered without a hole, and never changed; and what was paid of them.

-- A row without a hash is not ours to freeze: it was adopted, or another program wrote it. The others are inserted with
-- everything, and then their line_count lines and tax_count taxes; triggers let in no further ones.
ALTER TABLE invoices ADD COLUMN month ${text};
ALTER TABLE invoices ADD COLUMN series ${text};
ALTER TABLE invoices ADD COLUMN series_number ${int};
ALTER TABLE invoices ADD COLUMN net_cents ${int};
ALTER TABLE invoices ADD COLUMN tax_cents ${int};
ALTER TABLE invoices ADD COLUMN issued_at ${text};
ALTER TABLE invoices ADD COLUMN due_on ${text};
ALTER TABLE invoices ADD COLUMN locale TEXT;
ALTER TABLE invoices ADD COLUMN seller TEXT;
ALTER TABLE invoices ADD COLUMN buyer TEXT;
ALTER TABLE invoices ADD COLUMN mentions TEXT;
-- What of the month's use was billed: {metric: {day of the month: quantity}}.
ALTER TABLE invoices ADD COLUMN billed TEXT;
-- Of a credit note: which invoice it takes back from, and why.
ALTER TABLE invoices ADD COLUMN credited_invoice_id ${int} REFERENCES invoices (id);
ALTER TABLE invoices ADD COLUMN reason TEXT;
ALTER TABLE invoices ADD COLUMN line_count ${int};
ALTER TABLE invoices ADD COLUMN tax_count ${int};
-- hash: SHA-256 over the document and the hash of the one before it in the tenant's chain.
ALTER TABLE invoices ADD COLUMN chain_position ${int};
ALTER TABLE invoices ADD COLUMN previous_hash TEXT;
ALTER TABLE invoices ADD COLUMN hash TEXT;
CREATE UNIQUE INDEX invoices_period ON invoices (user_id, month) WHERE kind = 'period';
CREATE UNIQUE INDEX invoices_chain ON invoices (tenant_id, chain_position) WHERE chain_position IS NOT NULL;
CREATE UNIQUE INDEX invoices_series ON invoices (tenant_id, series, series_number) WHERE series_number IS NOT NULL;
CREATE INDEX invoices_credited ON invoices (credited_invoice_id) WHERE credited_invoice_id IS NOT NULL;
CREATE INDEX invoices_listed ON invoices (tenant_id, id);
CREATE INDEX transactions_listed ON transactions (tenant_id, id);

CREATE TABLE billing_invoice_lines (
    invoice_id ${int} NOT NULL REFERENCES invoices (id),
    position ${int} NOT NULL CHECK (position >= 1),
    tenant_id ${int} NOT NULL DEFAULT 1 REFERENCES tenants (id),
    kind TEXT NOT NULL CHECK (kind IN ('base', 'overage', 'credit', 'charge', 'late', 'item', 'discount')),
    description TEXT NOT NULL,
    metric TEXT,
    quantity TEXT NOT NULL,
    unit_amount TEXT,
    -- What the line was worked out to be: net, or with its VAT where the price includes it.
    amount_cents ${int} NOT NULL,
    tax_behavior TEXT NOT NULL CHECK (tax_behavior IN ('exclusive', 'inclusive')),
    net_cents ${int} NOT NULL,
    vat_category TEXT NOT NULL,
    vat_rate TEXT NOT NULL,
    period_start ${text},
    period_end ${text},
    -- How it came about: the price as it was, and the days that it is of.
    origin TEXT NOT NULL DEFAULT '{}',
    PRIMARY KEY (invoice_id, position)
)${without_rowid};

CREATE TABLE billing_invoice_taxes (
    invoice_id ${int} NOT NULL REFERENCES invoices (id),
    position ${int} NOT NULL CHECK (position >= 1),
    tenant_id ${int} NOT NULL DEFAULT 1 REFERENCES tenants (id),
    vat_category TEXT NOT NULL,
    vat_rate TEXT NOT NULL,
    base_cents ${int} NOT NULL,
    tax_cents ${int} NOT NULL,
    vatex TEXT,
    mention TEXT,
    PRIMARY KEY (invoice_id, position),
    UNIQUE (invoice_id, vat_category, vat_rate)
)${without_rowid};

-- The first number of each series that is ours: the numbers before it were given out by another program.
ALTER TABLE billing_invoice_series ADD COLUMN first_number ${int} NOT NULL DEFAULT 1;
UPDATE billing_invoice_series SET first_number = last_number + 1;

-- The end of each tenant's chain. Nothing is issued before issued_at.
CREATE TABLE billing_invoice_chains (
    tenant_id ${int} PRIMARY KEY REFERENCES tenants (id),
    position ${int} NOT NULL CHECK (position >= 0),
    hash TEXT NOT NULL,
    issued_at ${text} NOT NULL
);

-- The months of each user that are closed: with their invoice, or without one where there was nothing to bill. billed:
-- what of the month's use has been billed, where no invoice of the month says so, or not any more. limits: the
-- BILLING_LIMIT_ variables that were set then, by which late use is rated; NULL where none was.
CREATE TABLE billing_invoiced_months (
    user_id ${user_key} NOT NULL REFERENCES ${users} (${users_id}),
    month ${text} NOT NULL,
    tenant_id ${int} NOT NULL DEFAULT 1 REFERENCES tenants (id),
    invoice_id ${int} REFERENCES invoices (id),
    billed TEXT,
    limits TEXT,
    closed_at ${text} NOT NULL,
    PRIMARY KEY (user_id, month)
);
CREATE INDEX billing_invoiced_months_listed ON billing_invoiced_months (tenant_id, month);
-- How much of the month's sum has been billed; NULL until the month is closed.
ALTER TABLE usage_counters ADD COLUMN billed ${int};
-- A credit gives back this charge, or, where it is NULL, the fee of its period.
ALTER TABLE billing_pending_items ADD COLUMN credits_item_id ${int} REFERENCES billing_pending_items (id);
-- The code that took discount_cents off the fee. redemption_id is the one of price_cents, and changes with that.
ALTER TABLE billing_periods ADD COLUMN fee_redemption_id ${int} REFERENCES billing_redemptions (id);
UPDATE billing_periods SET fee_redemption_id = redemption_id WHERE discount_cents > 0;

-- What was sold, less what was taken back, by the month of issue: kept in the transaction that issues.
CREATE TABLE billing_revenue (
    tenant_id ${int} NOT NULL REFERENCES tenants (id),
    month ${text} NOT NULL,
    currency ${text} NOT NULL,
    invoices ${int} NOT NULL DEFAULT 0,
    credit_notes ${int} NOT NULL DEFAULT 0,
    net_cents ${int} NOT NULL DEFAULT 0,
    tax_cents ${int} NOT NULL DEFAULT 0,
    amount_cents ${int} NOT NULL DEFAULT 0,
    PRIMARY KEY (tenant_id, month, currency)
)${without_rowid};

-- Money that came in, and how much of it has gone out again.
CREATE TABLE billing_payments (
    id ${pk},
    tenant_id ${int} NOT NULL DEFAULT 1 REFERENCES tenants (id),
    user_id ${user_key} NOT NULL REFERENCES ${users} (${users_id}),
    invoice_id ${int} REFERENCES invoices (id),
    amount_cents ${int} NOT NULL CHECK (amount_cents BETWEEN 1 AND 9007199254740992),
    currency TEXT NOT NULL CHECK (length(currency) = 3),
    method TEXT NOT NULL,
    reference TEXT,
    received_on ${text} NOT NULL,
    refunded_cents ${int} NOT NULL DEFAULT 0 CHECK (refunded_cents BETWEEN 0 AND amount_cents),
    created_at ${text} NOT NULL,
    created_by TEXT
);
CREATE INDEX billing_payments_user ON billing_payments (user_id, id);
CREATE INDEX billing_payments_invoice ON billing_payments (invoice_id) WHERE invoice_id IS NOT NULL;
CREATE INDEX billing_payments_listed ON billing_payments (tenant_id, id);

-- How far an issued invoice is settled. No row: nothing was paid or credited yet. What is due is the rest.
CREATE TABLE billing_invoice_balances (
    invoice_id ${int} PRIMARY KEY REFERENCES invoices (id),
    tenant_id ${int} NOT NULL DEFAULT 1 REFERENCES tenants (id),
    amount_cents ${int} NOT NULL CHECK (amount_cents >= 0),
    paid_cents ${int} NOT NULL DEFAULT 0 CHECK (paid_cents >= 0),
    credited_cents ${int} NOT NULL DEFAULT 0 CHECK (credited_cents >= 0),
    CHECK (paid_cents + credited_cents <= amount_cents)
);

-- Money of a user that no invoice holds: what was paid too much or given back by a credit note, and pays what is issued
-- next. The entries sum to the balance.
CREATE TABLE billing_account_credits (
    user_id ${user_key} NOT NULL REFERENCES ${users} (${users_id}),
    currency ${text} NOT NULL CHECK (length(currency) = 3),
    tenant_id ${int} NOT NULL DEFAULT 1 REFERENCES tenants (id),
    balance_cents ${int} NOT NULL CHECK (balance_cents BETWEEN 0 AND 9007199254740992),
    PRIMARY KEY (user_id, currency)
)${without_rowid};
CREATE TABLE billing_account_credit_entries (
    id ${pk},
    tenant_id ${int} NOT NULL DEFAULT 1 REFERENCES tenants (id),
    user_id ${user_key} NOT NULL REFERENCES ${users} (${users_id}),
    currency TEXT NOT NULL CHECK (length(currency) = 3),
    kind TEXT NOT NULL CHECK (kind IN ('excess', 'credit_note', 'applied', 'refund')),
    amount_cents ${int} NOT NULL CHECK (amount_cents <> 0),
    invoice_id ${int} REFERENCES invoices (id),
    payment_id ${int} REFERENCES billing_payments (id),
    created_at ${text} NOT NULL
);
CREATE INDEX billing_account_credit_entries_user ON billing_account_credit_entries (user_id, id);
