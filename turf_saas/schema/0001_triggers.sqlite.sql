-- Both daily tables keep usage_counters. The row is made first and changed then, without any conflict
-- clause: the outer statement's own (INSERT OR REPLACE …) would take its place.

CREATE TRIGGER consumption_log_counted AFTER INSERT ON consumption_log
BEGIN
    INSERT INTO usage_counters (user_id, metric, month, tenant_id)
        SELECT NEW.user_id, 'api_calls', substr(NEW.date, 1, 7), COALESCE((SELECT tenant_id FROM billing_accounts WHERE user_id = NEW.user_id), 1)
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
        SELECT NEW.user_id, 'api_calls', substr(NEW.date, 1, 7), COALESCE((SELECT tenant_id FROM billing_accounts WHERE user_id = NEW.user_id), 1)
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
        SELECT NEW.user_id, NEW.metric, substr(NEW.period_start, 1, 7), COALESCE((SELECT tenant_id FROM billing_accounts WHERE user_id = NEW.user_id), 1)
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
        SELECT NEW.user_id, NEW.metric, substr(NEW.period_start, 1, 7), COALESCE((SELECT tenant_id FROM billing_accounts WHERE user_id = NEW.user_id), 1)
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
    WHEN NEW.tenant_id <> COALESCE((SELECT tenant_id FROM billing_accounts WHERE user_id = NEW.user_id), 1)
BEGIN
    UPDATE consumption_log SET tenant_id = COALESCE((SELECT tenant_id FROM billing_accounts WHERE user_id = NEW.user_id), 1)
     WHERE id = NEW.id;
END;

CREATE TRIGGER usage_aggregates_owned AFTER INSERT ON usage_aggregates
    WHEN NEW.tenant_id <> COALESCE((SELECT tenant_id FROM billing_accounts WHERE user_id = NEW.user_id), 1)
BEGIN
    UPDATE usage_aggregates SET tenant_id = COALESCE((SELECT tenant_id FROM billing_accounts WHERE user_id = NEW.user_id), 1)
     WHERE user_id = NEW.user_id AND metric = NEW.metric AND period_start = NEW.period_start;
END;

CREATE TRIGGER saas_subscriptions_owned AFTER INSERT ON saas_subscriptions
    WHEN NEW.tenant_id <> COALESCE((SELECT tenant_id FROM billing_accounts WHERE user_id = NEW.user_id), 1)
BEGIN
    UPDATE saas_subscriptions SET tenant_id = COALESCE((SELECT tenant_id FROM billing_accounts WHERE user_id = NEW.user_id), 1)
     WHERE id = NEW.id;
END;

CREATE TRIGGER invoices_owned AFTER INSERT ON invoices
    WHEN NEW.tenant_id <> COALESCE((SELECT tenant_id FROM billing_accounts WHERE user_id = NEW.user_id), 1)
BEGIN
    UPDATE invoices SET tenant_id = COALESCE((SELECT tenant_id FROM billing_accounts WHERE user_id = NEW.user_id), 1)
     WHERE id = NEW.id;
END;

CREATE TRIGGER transactions_owned AFTER INSERT ON transactions
    WHEN NEW.tenant_id <> COALESCE((SELECT tenant_id FROM billing_accounts WHERE user_id = NEW.user_id), 1)
BEGIN
    UPDATE transactions SET tenant_id = COALESCE((SELECT tenant_id FROM billing_accounts WHERE user_id = NEW.user_id), 1)
     WHERE id = NEW.id;
END;

-- A subscription's history. A row that does not say since when holds since ever, if it is its user's first.

CREATE TRIGGER saas_subscriptions_opened AFTER INSERT ON saas_subscriptions
BEGIN
    INSERT INTO billing_status_history (tenant_id, user_id, subject, subject_id, plan, status, at, actor, reason)
    VALUES (COALESCE((SELECT tenant_id FROM billing_accounts WHERE user_id = NEW.user_id), 1),
            NEW.user_id, 'subscription', NEW.id, NEW.plan, NEW.status,
            COALESCE(NEW.effective_at,
                     CASE WHEN EXISTS (SELECT 1 FROM billing_status_history
                                        WHERE user_id = NEW.user_id AND subject = 'subscription')
                          THEN NEW.created_at ELSE '0001-01-01T00:00:00Z' END),
            NEW.changed_by, NEW.change_reason);
    UPDATE saas_subscriptions SET changed_at = NULL WHERE id = NEW.id AND changed_at IS NOT NULL;
END;

-- Without changed_at a change is of now, and unsigned. Before the subscription began it is of its beginning, so
-- that the history, read in order, ends with it.
CREATE TRIGGER saas_subscriptions_changed AFTER UPDATE OF plan, status ON saas_subscriptions
    WHEN NEW.plan IS NOT OLD.plan OR NEW.status <> OLD.status
BEGIN
    INSERT INTO billing_status_history (tenant_id, user_id, subject, subject_id, plan, status, at, actor, reason)
    SELECT NEW.tenant_id, NEW.user_id, 'subscription', NEW.id, NEW.plan, NEW.status,
           MAX(CASE WHEN NEW.changed_at IS NOT OLD.changed_at THEN NEW.changed_at ELSE ${now} END,
               COALESCE(OLD.effective_at, '')),
           CASE WHEN NEW.changed_at IS NOT OLD.changed_at THEN NEW.changed_by END,
           CASE WHEN NEW.changed_at IS NOT OLD.changed_at THEN NEW.change_reason END;
    UPDATE saas_subscriptions SET changed_at = NULL WHERE id = NEW.id AND changed_at IS NOT NULL;
END;

CREATE TRIGGER saas_subscriptions_removed AFTER DELETE ON saas_subscriptions
    WHEN OLD.status <> 'canceled'
BEGIN
    INSERT INTO billing_status_history (tenant_id, user_id, subject, subject_id, plan, status, at)
    VALUES (OLD.tenant_id, OLD.user_id, 'subscription', OLD.id, OLD.plan, 'canceled',
            MAX(${now}, COALESCE(OLD.effective_at, '')));
END;

CREATE TRIGGER invoices_opened AFTER INSERT ON invoices
BEGIN
    INSERT INTO billing_status_history (tenant_id, user_id, subject, subject_id, plan, status, at, actor, reason)
    VALUES (COALESCE((SELECT tenant_id FROM billing_accounts WHERE user_id = NEW.user_id), 1),
            NEW.user_id, 'invoice', NEW.id, NEW.plan, NEW.status, NEW.created_at, NEW.changed_by, NEW.change_reason);
    UPDATE invoices SET changed_at = NULL WHERE id = NEW.id AND changed_at IS NOT NULL;
END;

CREATE TRIGGER invoices_changed AFTER UPDATE OF status ON invoices
    WHEN NEW.status <> OLD.status
BEGIN
    INSERT INTO billing_status_history (tenant_id, user_id, subject, subject_id, plan, status, at, actor, reason)
    SELECT NEW.tenant_id, NEW.user_id, 'invoice', NEW.id, NEW.plan, NEW.status,
           CASE WHEN NEW.changed_at IS NOT OLD.changed_at THEN NEW.changed_at ELSE ${now} END,
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
