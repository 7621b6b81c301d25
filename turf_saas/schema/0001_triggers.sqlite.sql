-- Both daily tables keep usage_counters. The row is made first and changed then, without any conflict
-- clause: the outer statement's own (INSERT OR REPLACE …) would take its place.

CREATE TRIGGER consumption_log_counted AFTER INSERT ON consumption_log
BEGIN
    INSERT INTO usage_counters (user_id, metric, month, tenant_id)
        SELECT NEW.user_id, 'api_calls', substr(NEW.date, 1, 7), ${tenant_of NEW.user_id}
         WHERE NOT EXISTS (SELECT 1 FROM usage_counters WHERE user_id = NEW.user_id
                              AND metric = 'api_calls' AND month = substr(NEW.date, 1, 7));
    UPDATE usage_counters SET used = used + NEW.api_calls
     WHERE user_id = NEW.user_id AND metric = 'api_calls' AND month = substr(NEW.date, 1, 7);
END;

CREATE TRIGGER consumption_log_recounted AFTER UPDATE OF api_calls ON consumption_log
    WHEN NEW.user_id = OLD.user_id AND substr(NEW.date, 1, 7) = substr(OLD.date, 1, 7)
BEGIN
    UPDATE usage_counters SET used = used + NEW.api_calls - OLD.api_calls
     WHERE user_id = NEW.user_id AND metric = 'api_calls' AND month = substr(NEW.date, 1, 7);
END;

CREATE TRIGGER consumption_log_moved AFTER UPDATE OF user_id, date, api_calls ON consumption_log
    WHEN NEW.user_id <> OLD.user_id OR substr(NEW.date, 1, 7) <> substr(OLD.date, 1, 7)
BEGIN
    UPDATE usage_counters SET used = used - OLD.api_calls
     WHERE user_id = OLD.user_id AND metric = 'api_calls' AND month = substr(OLD.date, 1, 7);
    INSERT INTO usage_counters (user_id, metric, month, tenant_id)
        SELECT NEW.user_id, 'api_calls', substr(NEW.date, 1, 7), ${tenant_of NEW.user_id}
         WHERE NOT EXISTS (SELECT 1 FROM usage_counters WHERE user_id = NEW.user_id
                              AND metric = 'api_calls' AND month = substr(NEW.date, 1, 7));
    UPDATE usage_counters SET used = used + NEW.api_calls
     WHERE user_id = NEW.user_id AND metric = 'api_calls' AND month = substr(NEW.date, 1, 7);
END;

CREATE TRIGGER consumption_log_uncounted AFTER DELETE ON consumption_log
BEGIN
    UPDATE usage_counters SET used = used - OLD.api_calls
     WHERE user_id = OLD.user_id AND metric = 'api_calls' AND month = substr(OLD.date, 1, 7);
END;

CREATE TRIGGER usage_aggregates_counted AFTER INSERT ON usage_aggregates
BEGIN
    INSERT INTO usage_counters (user_id, metric, month, tenant_id)
        SELECT NEW.user_id, NEW.metric, substr(NEW.period_start, 1, 7), ${tenant_of NEW.user_id}
         WHERE NOT EXISTS (SELECT 1 FROM usage_counters WHERE user_id = NEW.user_id
                              AND metric = NEW.metric AND month = substr(NEW.period_start, 1, 7));
    UPDATE usage_counters SET used = used + NEW.total
     WHERE user_id = NEW.user_id AND metric = NEW.metric AND month = substr(NEW.period_start, 1, 7);
END;

CREATE TRIGGER usage_aggregates_recounted AFTER UPDATE OF total ON usage_aggregates
    WHEN NEW.user_id = OLD.user_id AND NEW.metric = OLD.metric
     AND substr(NEW.period_start, 1, 7) = substr(OLD.period_start, 1, 7)
BEGIN
    UPDATE usage_counters SET used = used + NEW.total - OLD.total
     WHERE user_id = NEW.user_id AND metric = NEW.metric AND month = substr(NEW.period_start, 1, 7);
END;

CREATE TRIGGER usage_aggregates_moved AFTER UPDATE OF user_id, metric, period_start, total ON usage_aggregates
    WHEN NEW.user_id <> OLD.user_id OR NEW.metric <> OLD.metric
      OR substr(NEW.period_start, 1, 7) <> substr(OLD.period_start, 1, 7)
BEGIN
    UPDATE usage_counters SET used = used - OLD.total
     WHERE user_id = OLD.user_id AND metric = OLD.metric AND month = substr(OLD.period_start, 1, 7);
    INSERT INTO usage_counters (user_id, metric, month, tenant_id)
        SELECT NEW.user_id, NEW.metric, substr(NEW.period_start, 1, 7), ${tenant_of NEW.user_id}
         WHERE NOT EXISTS (SELECT 1 FROM usage_counters WHERE user_id = NEW.user_id
                              AND metric = NEW.metric AND month = substr(NEW.period_start, 1, 7));
    UPDATE usage_counters SET used = used + NEW.total
     WHERE user_id = NEW.user_id AND metric = NEW.metric AND month = substr(NEW.period_start, 1, 7);
END;

CREATE TRIGGER usage_aggregates_uncounted AFTER DELETE ON usage_aggregates
BEGIN
    UPDATE usage_counters SET used = used - OLD.total
     WHERE user_id = OLD.user_id AND metric = OLD.metric AND month = substr(OLD.period_start, 1, 7);
END;

-- A row is its user's tenant's, whatever its writer knew of tenants.

CREATE TRIGGER consumption_log_owned AFTER INSERT ON consumption_log
    WHEN NEW.tenant_id <> ${tenant_of NEW.user_id}
BEGIN
    UPDATE consumption_log SET tenant_id = ${tenant_of NEW.user_id}
     WHERE id = NEW.id;
END;

CREATE TRIGGER usage_aggregates_owned AFTER INSERT ON usage_aggregates
    WHEN NEW.tenant_id <> ${tenant_of NEW.user_id}
BEGIN
    UPDATE usage_aggregates SET tenant_id = ${tenant_of NEW.user_id}
     WHERE user_id = NEW.user_id AND metric = NEW.metric AND period_start = NEW.period_start;
END;

CREATE TRIGGER saas_subscriptions_owned AFTER INSERT ON saas_subscriptions
    WHEN NEW.tenant_id <> ${tenant_of NEW.user_id}
BEGIN
    UPDATE saas_subscriptions SET tenant_id = ${tenant_of NEW.user_id}
     WHERE id = NEW.id;
END;

CREATE TRIGGER invoices_owned AFTER INSERT ON invoices
    WHEN NEW.tenant_id <> ${tenant_of NEW.user_id}
BEGIN
    UPDATE invoices SET tenant_id = ${tenant_of NEW.user_id}
     WHERE id = NEW.id;
END;

CREATE TRIGGER transactions_owned AFTER INSERT ON transactions
    WHEN NEW.tenant_id <> ${tenant_of NEW.user_id}
BEGIN
    UPDATE transactions SET tenant_id = ${tenant_of NEW.user_id}
     WHERE id = NEW.id;
END;

-- Instants are compared as text, so one that another program wrote in another form of ISO 8601 is told in ours.
-- What cannot be read stays as it is.

CREATE TRIGGER saas_subscriptions_told AFTER INSERT ON saas_subscriptions
    WHEN ${is_other NEW.effective_at}
      OR ${is_other NEW.current_period_start}
      OR ${is_other NEW.current_period_end}
      OR ${is_other NEW.trial_end}
      OR ${is_other NEW.canceled_at}
      OR ${is_other NEW.ended_at}
      OR ${is_other NEW.created_at}
      OR ${is_other NEW.updated_at}
BEGIN
    UPDATE saas_subscriptions
       SET effective_at = ${told effective_at},
           current_period_start = ${told current_period_start},
           current_period_end = ${told current_period_end},
           trial_end = ${told trial_end},
           canceled_at = ${told canceled_at},
           ended_at = ${told ended_at},
           created_at = ${told created_at},
           updated_at = ${told updated_at}
     WHERE id = NEW.id;
END;

CREATE TRIGGER saas_subscriptions_retold AFTER UPDATE OF
    effective_at, current_period_start, current_period_end, trial_end,
    canceled_at, ended_at, created_at, updated_at ON saas_subscriptions
    WHEN (NEW.effective_at IS NOT OLD.effective_at AND ${is_other NEW.effective_at})
      OR (NEW.current_period_start IS NOT OLD.current_period_start AND ${is_other NEW.current_period_start})
      OR (NEW.current_period_end IS NOT OLD.current_period_end AND ${is_other NEW.current_period_end})
      OR (NEW.trial_end IS NOT OLD.trial_end AND ${is_other NEW.trial_end})
      OR (NEW.canceled_at IS NOT OLD.canceled_at AND ${is_other NEW.canceled_at})
      OR (NEW.ended_at IS NOT OLD.ended_at AND ${is_other NEW.ended_at})
      OR (NEW.created_at IS NOT OLD.created_at AND ${is_other NEW.created_at})
      OR (NEW.updated_at IS NOT OLD.updated_at AND ${is_other NEW.updated_at})
BEGIN
    UPDATE saas_subscriptions
       SET effective_at = ${told effective_at},
           current_period_start = ${told current_period_start},
           current_period_end = ${told current_period_end},
           trial_end = ${told trial_end},
           canceled_at = ${told canceled_at},
           ended_at = ${told ended_at},
           created_at = ${told created_at},
           updated_at = ${told updated_at}
     WHERE id = NEW.id;
END;

CREATE TRIGGER invoices_told AFTER INSERT ON invoices
    WHEN ${is_other NEW.created_at}
      OR ${is_other NEW.paid_at}
      OR ${is_other NEW.updated_at}
BEGIN
    UPDATE invoices
       SET created_at = ${told created_at},
           paid_at = ${told paid_at},
           updated_at = ${told updated_at}
     WHERE id = NEW.id;
END;

CREATE TRIGGER invoices_retold AFTER UPDATE OF
    created_at, paid_at, updated_at ON invoices
    WHEN (NEW.created_at IS NOT OLD.created_at AND ${is_other NEW.created_at})
      OR (NEW.paid_at IS NOT OLD.paid_at AND ${is_other NEW.paid_at})
      OR (NEW.updated_at IS NOT OLD.updated_at AND ${is_other NEW.updated_at})
BEGIN
    UPDATE invoices
       SET created_at = ${told created_at},
           paid_at = ${told paid_at},
           updated_at = ${told updated_at}
     WHERE id = NEW.id;
END;

-- A subscription's history. A row is written when something becomes known, and holds from its `at` on over all that was
-- known before. The past is not rewritten by what happens now: a subscription that says since when begins there, but
-- not before the history of its user's earlier ones ends, and one that is written anew begins now. A row that does not
-- say since when holds since ever, if it is its user's first.

CREATE TRIGGER saas_subscriptions_opened AFTER INSERT ON saas_subscriptions
BEGIN
    INSERT INTO billing_status_history
        (tenant_id, user_id, subject, subject_id, plan, status, at, actor, reason, plan_id)
    SELECT ${tenant_of NEW.user_id}, NEW.user_id, 'subscription', NEW.id, NEW.plan, NEW.status,
           CASE WHEN is_known THEN MAX(moment, COALESCE(since, ''))
                WHEN last_at IS NULL THEN COALESCE(since, '0001-01-01T00:00:00Z')
                ELSE MAX(COALESCE(since, ${told NEW.created_at}), last_at) END,
           NEW.changed_by, NEW.change_reason, NEW.plan_id
      FROM (SELECT COALESCE(${instant NEW.changed_at}, ${now}) AS moment, ${told NEW.effective_at} AS since,
                   MAX(CASE WHEN at <= MAX(${now}, COALESCE(${instant NEW.changed_at}, '')) THEN at END) AS last_at,
                   COALESCE(MAX(subject_id = NEW.id), 0) AS is_known
              FROM billing_status_history WHERE user_id = NEW.user_id AND subject = 'subscription');
    UPDATE saas_subscriptions SET changed_at = NULL WHERE id = NEW.id AND changed_at IS NOT NULL;
END;

-- Without changed_at a change is of now, and unsigned. First the old user or the old plan is left: when the row goes to
-- another user, or begins later than now. Then the beginning of what has begun moves back and takes along what followed
-- it; anything else is one row, not before the subscription begins.
CREATE TRIGGER saas_subscriptions_changed AFTER UPDATE OF user_id, plan, plan_id, status, effective_at
    ON saas_subscriptions
    WHEN NEW.user_id <> OLD.user_id OR NEW.plan IS NOT OLD.plan OR NEW.status <> OLD.status
      OR (NEW.plan_id IS NOT NULL AND NEW.plan_id IS NOT OLD.plan_id)
      OR ${told NEW.effective_at} IS NOT ${told OLD.effective_at}
BEGIN
    INSERT INTO billing_status_history (tenant_id, user_id, subject, subject_id, plan, status, at, plan_id)
    SELECT OLD.tenant_id, OLD.user_id, 'subscription', OLD.id, OLD.plan, 'canceled', moment, OLD.plan_id
      FROM (SELECT COALESCE(CASE WHEN NEW.changed_at IS NOT OLD.changed_at THEN ${instant NEW.changed_at} END, ${now})
                   AS moment, ${told NEW.effective_at} AS since, ${told OLD.effective_at} AS old_since)
     WHERE OLD.status <> 'canceled'
       AND (NEW.user_id <> OLD.user_id OR (since > moment AND since > COALESCE(old_since, '')));
    INSERT INTO billing_status_history
        (tenant_id, user_id, subject, subject_id, plan, status, at, actor, reason, plan_id)
    SELECT tenant_id, user_id, subject, subject_id, plan, status,
           CASE id WHEN MIN(id) OVER () THEN ${told NEW.effective_at} ELSE at END, actor, reason, plan_id
      FROM billing_status_history
     WHERE user_id = NEW.user_id AND subject = 'subscription' AND subject_id = NEW.id
       AND NEW.user_id = OLD.user_id AND NEW.plan IS OLD.plan AND NEW.plan_id IS OLD.plan_id AND NEW.status = OLD.status
       AND ${told NEW.effective_at} < ${told OLD.effective_at} AND ${told OLD.effective_at} <=
           COALESCE(CASE WHEN NEW.changed_at IS NOT OLD.changed_at THEN ${instant NEW.changed_at} END, ${now})
     ORDER BY id;
    INSERT INTO billing_status_history
        (tenant_id, user_id, subject, subject_id, plan, status, at, actor, reason, plan_id)
    SELECT ${tenant_of NEW.user_id}, NEW.user_id, 'subscription', NEW.id, NEW.plan, NEW.status,
           CASE WHEN NEW.user_id = OLD.user_id AND since IS NOT old_since
                     AND NEW.status IN ('trialing', 'active', 'past_due') THEN COALESCE(since, moment)
                ELSE MAX(moment, COALESCE(since, '')) END,
           CASE WHEN NEW.changed_at IS NOT OLD.changed_at THEN NEW.changed_by END,
           CASE WHEN NEW.changed_at IS NOT OLD.changed_at THEN NEW.change_reason END,
           CASE WHEN NEW.plan IS OLD.plan OR NEW.plan_id IS NOT OLD.plan_id THEN NEW.plan_id END
      FROM (SELECT COALESCE(CASE WHEN NEW.changed_at IS NOT OLD.changed_at THEN ${instant NEW.changed_at} END, ${now})
                   AS moment, ${told NEW.effective_at} AS since, ${told OLD.effective_at} AS old_since)
     WHERE NEW.user_id <> OLD.user_id OR NEW.plan IS NOT OLD.plan OR NEW.plan_id IS NOT OLD.plan_id
        OR NEW.status <> OLD.status
        OR since IS NULL OR old_since IS NULL OR since > old_since OR old_since > moment;
    UPDATE saas_subscriptions SET tenant_id = ${tenant_of NEW.user_id}
     WHERE id = NEW.id AND NEW.user_id <> OLD.user_id;
    -- Who writes another plan and knows nothing of versions means the newest one.
    UPDATE saas_subscriptions SET plan_id = NULL
     WHERE id = NEW.id AND NEW.plan IS NOT OLD.plan AND NEW.plan_id IS OLD.plan_id AND plan_id IS NOT NULL;
    UPDATE saas_subscriptions SET changed_at = NULL WHERE id = NEW.id AND changed_at IS NOT NULL;
END;

CREATE TRIGGER saas_subscriptions_removed AFTER DELETE ON saas_subscriptions
    WHEN OLD.status <> 'canceled'
BEGIN
    INSERT INTO billing_status_history (tenant_id, user_id, subject, subject_id, plan, status, at, plan_id)
    VALUES (OLD.tenant_id, OLD.user_id, 'subscription', OLD.id, OLD.plan, 'canceled',
            MAX(${now}, COALESCE(OLD.effective_at, '')), OLD.plan_id);
END;

CREATE TRIGGER invoices_opened AFTER INSERT ON invoices
BEGIN
    INSERT INTO billing_status_history (tenant_id, user_id, subject, subject_id, plan, status, at, actor, reason)
    VALUES (${tenant_of NEW.user_id}, NEW.user_id, 'invoice', NEW.id, NEW.plan, NEW.status, ${told NEW.created_at},
            NEW.changed_by, NEW.change_reason);
    UPDATE invoices SET changed_at = NULL WHERE id = NEW.id AND changed_at IS NOT NULL;
END;

CREATE TRIGGER invoices_changed AFTER UPDATE OF status ON invoices
    WHEN NEW.status <> OLD.status
BEGIN
    INSERT INTO billing_status_history (tenant_id, user_id, subject, subject_id, plan, status, at, actor, reason)
    SELECT NEW.tenant_id, NEW.user_id, 'invoice', NEW.id, NEW.plan, NEW.status,
           COALESCE(CASE WHEN NEW.changed_at IS NOT OLD.changed_at THEN ${instant NEW.changed_at} END, ${now}),
           CASE WHEN NEW.changed_at IS NOT OLD.changed_at THEN NEW.changed_by END,
           CASE WHEN NEW.changed_at IS NOT OLD.changed_at THEN NEW.change_reason END;
    UPDATE invoices SET changed_at = NULL WHERE id = NEW.id AND changed_at IS NOT NULL;
END;

-- SQLite gives the number of a deleted row to a later one, and a host may delete with its foreign keys off: nothing
-- that lets a user in, makes him an admin or gives him a plan may wait for the next holder of the id.
CREATE TRIGGER billing_user_removed AFTER DELETE ON ${users}
BEGIN
    DELETE FROM billing_api_keys WHERE user_id = OLD.${users_id};
    DELETE FROM billing_logins WHERE user_id = OLD.${users_id};
    DELETE FROM billing_accounts WHERE user_id = OLD.${users_id};
    UPDATE saas_subscriptions SET status = 'canceled'
     WHERE user_id = OLD.${users_id} AND status IN ('trialing', 'active', 'past_due', 'unpaid');
END;
