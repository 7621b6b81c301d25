-- Usage that is reported: every fact once, what it sums up to, and what is held for work that is not done yet.

-- Append-only. The id begins with the instant of recording, so that new events lie together at the end.
CREATE TABLE usage_events (
    id ${text} PRIMARY KEY,
    tenant_id ${int} NOT NULL DEFAULT 1 REFERENCES tenants (id),
    user_id ${user_key} NOT NULL REFERENCES ${users} (${users_id}),
    metric ${text} NOT NULL,
    quantity ${int} NOT NULL CHECK (${is_int quantity} AND quantity <> 0
        AND quantity BETWEEN -9007199254740992 AND 9007199254740992),
    day ${text} NOT NULL CHECK (${is_day day}),
    at ${text} NOT NULL,
    recorded_at ${text} NOT NULL,
    idempotency_key TEXT,
    metadata TEXT,
    corrects ${text},
    CHECK (quantity > 0 OR corrects IS NOT NULL)
)${without_rowid};
CREATE INDEX usage_events_day ON usage_events (day);
-- An event with a key is found by its user in usage_keys. One index more over all would write a page per event.
CREATE INDEX usage_events_unkeyed ON usage_events (user_id, day) WHERE idempotency_key IS NULL;
CREATE INDEX usage_events_corrects ON usage_events (corrects) WHERE corrects IS NOT NULL;

-- Events before before_day were written to a file and taken out; their days and keys stay.
CREATE TABLE usage_archives (
    id ${pk},
    tenant_id ${int} NOT NULL DEFAULT 1 REFERENCES tenants (id),
    before_day ${text} NOT NULL CHECK (${is_day before_day}),
    events ${int} NOT NULL,
    file TEXT NOT NULL,
    sha256 TEXT NOT NULL,
    archived_at ${text} NOT NULL
);

-- Which key was used for which event, and what was sent with it. Kept when old events are archived: archive_id says
-- in which file the event is then.
CREATE TABLE usage_keys (
    user_id ${user_key} NOT NULL REFERENCES ${users} (${users_id}),
    idempotency_key ${text} NOT NULL,
    content ${int} NOT NULL,
    event_id ${text} NOT NULL,
    archive_id ${int} REFERENCES usage_archives (id),
    tenant_id ${int} NOT NULL DEFAULT 1 REFERENCES tenants (id),
    PRIMARY KEY (user_id, idempotency_key)
)${without_rowid};

-- Quantities held for work under way. What is `held` stands in usage_counters.reserved.
CREATE TABLE usage_reservations (
    id ${text} PRIMARY KEY,
    tenant_id ${int} NOT NULL DEFAULT 1 REFERENCES tenants (id),
    user_id ${user_key} NOT NULL REFERENCES ${users} (${users_id}),
    metric ${text} NOT NULL,
    day ${text} NOT NULL CHECK (${is_day day}),
    quantity ${int} NOT NULL CHECK (${is_int quantity} AND quantity BETWEEN 1 AND 9007199254740992),
    state TEXT NOT NULL DEFAULT 'held' CHECK (state IN ('held', 'settled', 'released', 'expired')),
    settled_quantity ${int},
    event_id ${text},
    created_at ${text} NOT NULL,
    expires_at ${text} NOT NULL,
    closed_at ${text}
);
CREATE INDEX usage_reservations_held ON usage_reservations (user_id, metric, expires_at) WHERE state = 'held';

-- The first time in a month that a user reached a part of a limit. signalled_at: when the host was told.
CREATE TABLE usage_thresholds (
    user_id ${user_key} NOT NULL REFERENCES ${users} (${users_id}),
    month ${text} NOT NULL,
    metric ${text} NOT NULL,
    percent ${int} NOT NULL CHECK (percent BETWEEN 1 AND 1000),
    used ${int} NOT NULL,
    included ${int} NOT NULL,
    crossed_at ${text} NOT NULL,
    signalled_at ${text},
    tenant_id ${int} NOT NULL DEFAULT 1 REFERENCES tenants (id),
    PRIMARY KEY (user_id, month, metric, percent)
);
CREATE INDEX usage_thresholds_unsent ON usage_thresholds (crossed_at) WHERE signalled_at IS NULL;

-- What a user lets a month's overage cost at most. No row: no cap.
CREATE TABLE billing_spending_caps (
    user_id ${user_key} PRIMARY KEY REFERENCES ${users} (${users_id}) ON DELETE CASCADE,
    tenant_id ${int} NOT NULL DEFAULT 1 REFERENCES tenants (id),
    amount_cents ${int} NOT NULL CHECK (amount_cents BETWEEN 0 AND 9007199254740992),
    updated_at ${text} NOT NULL
);

-- The first answer to a request with an Idempotency-Key, for who repeats it within a day. content: SHA-256 of the body.
CREATE TABLE billing_idempotency_keys (
    user_id ${user_key} NOT NULL REFERENCES ${users} (${users_id}) ON DELETE CASCADE,
    idempotency_key ${text} NOT NULL,
    tenant_id ${int} NOT NULL DEFAULT 1 REFERENCES tenants (id),
    request TEXT NOT NULL,
    content TEXT NOT NULL,
    status ${int},
    headers TEXT,
    answer TEXT,
    created_at ${text} NOT NULL,
    PRIMARY KEY (user_id, idempotency_key)
);
CREATE INDEX billing_idempotency_keys_old ON billing_idempotency_keys (created_at);
