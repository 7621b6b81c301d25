-- Work that is stored: done once, by whoever claims it, and never lost. And what is done again and again.

-- States: available, executing, retryable, completed, dead. Finished jobs stay; those of the schedule for a month.
CREATE TABLE billing_jobs (
    id ${pk},
    tenant_id ${int} NOT NULL DEFAULT 1 REFERENCES tenants (id),
    name ${text} NOT NULL,
    payload TEXT NOT NULL DEFAULT '{}',
    state TEXT NOT NULL DEFAULT 'available'
        CHECK (state IN ('available', 'executing', 'retryable', 'completed', 'dead')),
    run_at ${text} NOT NULL,
    attempts ${int} NOT NULL DEFAULT 0 CHECK (attempts >= 0),
    max_attempts ${int} NOT NULL DEFAULT 12 CHECK (max_attempts >= 1),
    -- Whoever finishes a job must hold its lease still: another one may have claimed it since.
    lease_token TEXT,
    lease_until ${text},
    dedupe_key ${text},
    last_error TEXT,
    created_at ${text} NOT NULL,
    claimed_at ${text},
    finished_at ${text},
    UNIQUE (name, dedupe_key),
    CHECK ((state = 'executing') = (lease_token IS NOT NULL)),
    CHECK ((lease_token IS NULL) = (lease_until IS NULL))
);
CREATE INDEX billing_jobs_due ON billing_jobs (run_at, id) WHERE state IN ('available', 'retryable');
CREATE INDEX billing_jobs_leased ON billing_jobs (lease_until) WHERE state = 'executing';
CREATE INDEX billing_jobs_dead ON billing_jobs (id) WHERE state = 'dead';
-- What a clock that was ahead has put too far off, and what is old: found without looking at all that waits or is done.
CREATE INDEX billing_jobs_at_once ON billing_jobs (created_at) WHERE state = 'available' AND run_at = created_at;
CREATE INDEX billing_jobs_retried ON billing_jobs (run_at) WHERE state = 'retryable';
CREATE INDEX billing_jobs_done ON billing_jobs (name, finished_at) WHERE state = 'completed';

-- What a user owes, and since when.
CREATE INDEX invoices_owing ON invoices (user_id, due_on) WHERE status IN ('pending', 'overdue');

-- When a change of ours was written down: what was done late says so. NULL: another program's.
ALTER TABLE billing_status_history ADD COLUMN noted_at ${text};

-- When each periodic work was begun last, and is next.
CREATE TABLE billing_schedule (
    name ${text} PRIMARY KEY,
    next_at ${text} NOT NULL,
    begun_at ${text},
    job_id ${int} REFERENCES billing_jobs (id)
);
