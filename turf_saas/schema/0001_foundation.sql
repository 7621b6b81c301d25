-- What everything later stands on: who is billed, on which plan, what was used.
-- ${...} is filled in per engine and per host by turf_saas/schema/render.py.

CREATE TABLE tenants (
    id ${pk},
    name TEXT NOT NULL,
    created_at TEXT NOT NULL DEFAULT (${now})
);
INSERT INTO tenants (id, name) VALUES (1, 'default');
${tenants_identity}

-- Where the users are, read once: a setting that says otherwise later is refused.
CREATE TABLE billing_installation (
    id INTEGER PRIMARY KEY CHECK (id = 1),
    users_table TEXT NOT NULL,
    users_id TEXT NOT NULL,
    users_key TEXT NOT NULL CHECK (users_key IN ('integer', 'text')),
    users_are_ours INTEGER NOT NULL CHECK (users_are_ours IN (0, 1)),
    installed_at TEXT NOT NULL DEFAULT (${now})
);

-- What we know about a user beside what the host knows. No row: a plain user of tenant 1.
CREATE TABLE billing_accounts (
    user_id ${user_key} PRIMARY KEY REFERENCES ${users} (${users_id}) ON DELETE CASCADE,
    tenant_id ${int} NOT NULL DEFAULT 1 REFERENCES tenants (id),
    role TEXT NOT NULL DEFAULT 'user' CHECK (role IN ('user', 'admin')),
    email TEXT,
    locale TEXT,
    stripe_customer_id TEXT UNIQUE,
    kind TEXT CHECK (kind IN ('pro', 'consumer')),
    name TEXT,
    address TEXT,
    zip TEXT,
    city TEXT,
    country TEXT,
    siren TEXT,
    vat_id TEXT,
    created_at TEXT NOT NULL DEFAULT (${now}),
    updated_at TEXT NOT NULL DEFAULT (${now})
);
CREATE INDEX billing_accounts_tenant ON billing_accounts (tenant_id, user_id);

CREATE TABLE billing_api_keys (
    id ${text} PRIMARY KEY,
    tenant_id ${int} NOT NULL DEFAULT 1 REFERENCES tenants (id),
    user_id ${user_key} NOT NULL REFERENCES ${users} (${users_id}) ON DELETE CASCADE,
    name TEXT NOT NULL DEFAULT '',
    secret_sha256 TEXT NOT NULL,
    scopes TEXT NOT NULL,
    created_at ${text} NOT NULL DEFAULT (${now}),
    last_used_at TEXT,
    revoked_at TEXT
);
CREATE INDEX billing_api_keys_user ON billing_api_keys (user_id);
CREATE INDEX billing_api_keys_listed ON billing_api_keys (tenant_id, created_at, id);

-- Passwords, for a host that lets us keep its users (the reference host).
CREATE TABLE billing_logins (
    user_id ${user_key} PRIMARY KEY REFERENCES ${users} (${users_id}) ON DELETE CASCADE,
    tenant_id ${int} NOT NULL DEFAULT 1 REFERENCES tenants (id),
    email TEXT NOT NULL UNIQUE,
    password_hash TEXT NOT NULL,
    created_at TEXT NOT NULL DEFAULT (${now}),
    updated_at TEXT NOT NULL DEFAULT (${now})
);
CREATE TABLE billing_login_failures (
    id ${pk},
    tenant_id ${int} NOT NULL DEFAULT 1 REFERENCES tenants (id),
    account TEXT NOT NULL,
    address TEXT NOT NULL,
    failed_at ${text} NOT NULL
);
CREATE INDEX billing_login_failures_account ON billing_login_failures (account, failed_at);
CREATE INDEX billing_login_failures_address ON billing_login_failures (address, failed_at);

-- What is sold: a row per version of a plan, never changed once written, so that a subscriber keeps what he bought.
-- superseded_at: an edit has made a newer version. rolls_into: whose period ends goes on with that one.
CREATE TABLE billing_plans (
    id ${pk},
    tenant_id ${int} NOT NULL DEFAULT 1 REFERENCES tenants (id),
    code ${text} NOT NULL,
    version ${int} NOT NULL CHECK (version >= 1),
    name TEXT NOT NULL,
    description TEXT NOT NULL DEFAULT '',
    billing_interval TEXT NOT NULL DEFAULT 'month' CHECK (billing_interval IN ('month', 'year')),
    cycle TEXT NOT NULL DEFAULT 'calendar' CHECK (cycle IN ('calendar', 'anniversary')),
    amount_cents ${int} NOT NULL CHECK (${is_int amount_cents} AND amount_cents BETWEEN 0 AND 9007199254740992),
    currency TEXT NOT NULL DEFAULT 'EUR' CHECK (length(currency) = 3),
    tax_behavior TEXT NOT NULL DEFAULT 'exclusive' CHECK (tax_behavior IN ('exclusive', 'inclusive')),
    trial_days ${int} NOT NULL DEFAULT 0 CHECK (trial_days BETWEEN 0 AND 730),
    stripe_price_id TEXT,
    limits TEXT NOT NULL DEFAULT '{}',
    prices TEXT NOT NULL DEFAULT '[]',
    rolls_into ${int} REFERENCES billing_plans (id),
    created_at ${text} NOT NULL DEFAULT (${now}),
    created_by TEXT,
    superseded_at ${text},
    archived_at ${text},
    UNIQUE (tenant_id, code, version)
);
CREATE UNIQUE INDEX billing_plans_current ON billing_plans (tenant_id, code) WHERE superseded_at IS NULL;
${starter_plans}

-- Who is on which plan. user_id, plan and status are all that the outside has to write. Live are trialing,
-- active, past_due and unpaid; ours end as canceled, and another program's own words mean ended as well.
CREATE TABLE saas_subscriptions (
    id ${pk},
    user_id ${user_key} NOT NULL REFERENCES ${users} (${users_id}),
    plan TEXT DEFAULT 'free',
    status TEXT NOT NULL DEFAULT 'active',
    tenant_id ${int} NOT NULL DEFAULT 1 REFERENCES tenants (id),
    -- Which version of the plan. NULL, as others write it: the newest.
    plan_id ${int} REFERENCES billing_plans (id),
    billed_by TEXT NOT NULL DEFAULT 'local' CHECK (billed_by IN ('local', 'stripe')),
    cycle TEXT NOT NULL DEFAULT 'calendar' CHECK (cycle IN ('calendar', 'anniversary')),
    effective_at ${text},
    current_period_start ${text},
    current_period_end ${text},
    trial_end ${text},
    cancel_at_period_end INTEGER NOT NULL DEFAULT 0 CHECK (cancel_at_period_end IN (0, 1)),
    canceled_at ${text},
    ended_at ${text},
    stripe_subscription_id TEXT UNIQUE,
    -- The local day from which its periods are counted; the plan that it goes on with, and from when.
    anchor ${text},
    pending_plan_id ${int} REFERENCES billing_plans (id),
    pending_at ${text},
    -- Counted up by each change of ours: who has looked at another state than he changes is told so.
    revision ${int} NOT NULL DEFAULT 0,
    -- A change that says when, by whom and why sets these three; the history takes them and changed_at is NULL again.
    changed_at ${text},
    changed_by TEXT,
    change_reason TEXT,
    created_at ${text} NOT NULL DEFAULT (${now}),
    updated_at ${text} NOT NULL DEFAULT (${now}),
    CHECK (current_period_start < current_period_end)
);
CREATE UNIQUE INDEX saas_subscriptions_one_live ON saas_subscriptions (user_id)
    WHERE status IN ('trialing', 'active', 'past_due', 'unpaid');
CREATE INDEX saas_subscriptions_user ON saas_subscriptions (user_id);
CREATE INDEX saas_subscriptions_due ON saas_subscriptions (current_period_end)
    WHERE status IN ('trialing', 'active', 'past_due');
CREATE INDEX saas_subscriptions_plan ON saas_subscriptions (plan_id);

-- Which state something was in, from when, by whom and why. Triggers write it, whoever changes the row; of two rows the
-- later written one holds, from its `at` on.
CREATE TABLE billing_status_history (
    id ${pk},
    tenant_id ${int} NOT NULL DEFAULT 1 REFERENCES tenants (id),
    user_id ${user_key} NOT NULL REFERENCES ${users} (${users_id}),
    subject TEXT NOT NULL CHECK (subject IN ('subscription', 'invoice')),
    subject_id ${int} NOT NULL,
    plan TEXT,
    status TEXT NOT NULL,
    at ${text} NOT NULL,
    actor TEXT,
    reason TEXT,
    plan_id ${int} REFERENCES billing_plans (id)
);
CREATE INDEX billing_status_history_user ON billing_status_history (user_id, subject, id);

-- The host's API calls per user, day and endpoint.
CREATE TABLE consumption_log (
    id ${pk},
    user_id ${user_key} NOT NULL REFERENCES ${users} (${users_id}),
    date ${text} NOT NULL CHECK (${is_day date}),
    api_calls ${int} NOT NULL DEFAULT 0
        CHECK (${is_int api_calls} AND api_calls BETWEEN 0 AND 9007199254740992),
    endpoint TEXT NOT NULL DEFAULT '',
    created_at TEXT NOT NULL DEFAULT (${now}),
    tenant_id ${int} NOT NULL DEFAULT 1 REFERENCES tenants (id),
    UNIQUE (user_id, date, endpoint)
);

-- Every other metric, per user and day: the sum of its usage events.
CREATE TABLE usage_aggregates (
    user_id ${user_key} NOT NULL REFERENCES ${users} (${users_id}),
    metric ${text} NOT NULL,
    period_start ${text} NOT NULL CHECK (${is_day period_start}),
    granularity TEXT NOT NULL DEFAULT 'day' CHECK (granularity = 'day'),
    total ${int} NOT NULL CHECK (${is_int total} AND total BETWEEN 0 AND 4611686018427387904),
    tenant_id ${int} NOT NULL DEFAULT 1 REFERENCES tenants (id),
    created_at TEXT NOT NULL DEFAULT (${now}),
    updated_at TEXT NOT NULL DEFAULT (${now}),
    PRIMARY KEY (user_id, metric, period_start)
)${without_rowid};
CREATE INDEX usage_aggregates_day ON usage_aggregates (period_start, metric);

-- The month's sums of both tables above, kept exact by their triggers: what gauges and quotas read.
CREATE TABLE usage_counters (
    user_id ${user_key} NOT NULL REFERENCES ${users} (${users_id}),
    metric ${text} NOT NULL,
    month ${text} NOT NULL,
    used ${int} NOT NULL DEFAULT 0 CHECK (used BETWEEN 0 AND 4611686018427387904),
    reserved ${int} NOT NULL DEFAULT 0 CHECK (reserved BETWEEN 0 AND 4611686018427387904),
    tenant_id ${int} NOT NULL DEFAULT 1 REFERENCES tenants (id),
    PRIMARY KEY (user_id, month, metric)
)${without_rowid};

CREATE VIEW daily_usage AS
    SELECT tenant_id, user_id, 'api_calls' AS metric, date AS day, api_calls AS quantity FROM consumption_log
    UNION ALL
    SELECT tenant_id, user_id, metric, period_start AS day, total AS quantity FROM usage_aggregates;

CREATE TABLE invoices (
    id ${pk},
    invoice_number TEXT NOT NULL,
    user_id ${user_key} NOT NULL REFERENCES ${users} (${users_id}),
    period_start ${text} NOT NULL,
    period_end ${text} NOT NULL,
    plan TEXT NOT NULL,
    amount_cents ${int} NOT NULL
        CHECK (${is_int amount_cents} AND amount_cents BETWEEN -9007199254740992 AND 9007199254740992),
    currency TEXT NOT NULL DEFAULT 'EUR' CHECK (length(currency) = 3),
    status TEXT NOT NULL DEFAULT 'pending'
        CHECK (status IN ('pending', 'paid', 'overdue', 'cancelled', 'refunded')),
    pdf_path TEXT,
    stripe_invoice_id TEXT UNIQUE,
    created_at ${text} NOT NULL DEFAULT (${now}),
    paid_at ${text},
    tenant_id ${int} NOT NULL DEFAULT 1 REFERENCES tenants (id),
    -- 'adopted' also for what another program writes: it stays outside our chain.
    kind TEXT NOT NULL DEFAULT 'adopted'
        CHECK (kind IN ('period', 'stripe', 'manual', 'credit_note', 'adopted')),
    changed_at ${text},
    changed_by TEXT,
    change_reason TEXT,
    updated_at TEXT NOT NULL DEFAULT (${now}),
    UNIQUE (tenant_id, invoice_number),
    CHECK (period_start <= period_end)
);
CREATE INDEX invoices_user ON invoices (user_id, id);
CREATE INDEX invoices_status ON invoices (tenant_id, status, id);

-- The last number of each series. A number is taken in the transaction that writes its invoice.
CREATE TABLE billing_invoice_series (
    tenant_id ${int} NOT NULL DEFAULT 1 REFERENCES tenants (id),
    series TEXT NOT NULL,
    last_number ${int} NOT NULL CHECK (last_number >= 0),
    PRIMARY KEY (tenant_id, series)
);

CREATE TABLE transactions (
    id ${pk},
    user_id ${user_key} NOT NULL REFERENCES ${users} (${users_id}),
    invoice_id ${int} REFERENCES invoices (id),
    type TEXT NOT NULL CHECK (type IN ('subscription', 'overage', 'credit', 'refund')),
    amount_cents ${int} NOT NULL
        CHECK (${is_int amount_cents} AND amount_cents BETWEEN -9007199254740992 AND 9007199254740992),
    currency TEXT NOT NULL DEFAULT 'EUR' CHECK (length(currency) = 3),
    stripe_payment_intent_id TEXT,
    description TEXT,
    created_at ${text} NOT NULL DEFAULT (${now}),
    tenant_id ${int} NOT NULL DEFAULT 1 REFERENCES tenants (id)
);
CREATE INDEX transactions_user ON transactions (user_id, id);
CREATE INDEX transactions_invoice ON transactions (invoice_id);
-- One payment intent may be refunded in parts, but sells each thing once.
CREATE UNIQUE INDEX transactions_payment_intent ON transactions (stripe_payment_intent_id, type)
    WHERE type <> 'refund';

CREATE TABLE billing_events (
    id ${pk},
    stripe_event_id TEXT UNIQUE,
    event_type TEXT,
    payload TEXT,
    created_at TEXT NOT NULL DEFAULT (${now}),
    tenant_id ${int} NOT NULL DEFAULT 1 REFERENCES tenants (id)
);

-- Rows of an adopted database that break a rule: kept whole, with the reason.
CREATE TABLE billing_rejects (
    id ${pk},
    tenant_id ${int} NOT NULL DEFAULT 1 REFERENCES tenants (id),
    table_name TEXT NOT NULL,
    row_json TEXT NOT NULL,
    reason TEXT NOT NULL,
    created_at TEXT NOT NULL DEFAULT (${now})
);
