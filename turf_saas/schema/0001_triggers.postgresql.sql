-- Both daily tables keep usage_counters; the same rules as for SQLite, one function for all four cases.

CREATE FUNCTION billing_add_usage(a_user ${user_key}, a_metric TEXT, a_day TEXT, a_tenant BIGINT, a_quantity BIGINT)
RETURNS void LANGUAGE sql SET search_path FROM CURRENT AS $$
    INSERT INTO usage_counters (user_id, metric, month, tenant_id, used)
    VALUES (a_user, a_metric, substr(a_day, 1, 7), a_tenant, a_quantity)
    ON CONFLICT (user_id, month, metric) DO UPDATE SET used = usage_counters.used + excluded.used;
$$;

CREATE FUNCTION billing_take_usage(a_user ${user_key}, a_metric TEXT, a_day TEXT, a_quantity BIGINT)
RETURNS void LANGUAGE sql SET search_path FROM CURRENT AS $$
    UPDATE usage_counters SET used = used - a_quantity
     WHERE user_id = a_user AND metric = a_metric AND month = substr(a_day, 1, 7);
$$;

CREATE FUNCTION billing_count_calls() RETURNS trigger LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
BEGIN
    IF TG_OP = 'INSERT' THEN
        PERFORM billing_add_usage(NEW.user_id, 'api_calls', NEW.date, NEW.tenant_id, NEW.api_calls);
    ELSIF TG_OP = 'DELETE' THEN
        PERFORM billing_take_usage(OLD.user_id, 'api_calls', OLD.date, OLD.api_calls);
    ELSIF NEW.user_id = OLD.user_id AND substr(NEW.date, 1, 7) = substr(OLD.date, 1, 7) THEN
        PERFORM billing_take_usage(NEW.user_id, 'api_calls', NEW.date, OLD.api_calls - NEW.api_calls);
    ELSE
        PERFORM billing_take_usage(OLD.user_id, 'api_calls', OLD.date, OLD.api_calls);
        PERFORM billing_add_usage(NEW.user_id, 'api_calls', NEW.date, NEW.tenant_id, NEW.api_calls);
    END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER consumption_log_counted AFTER INSERT OR DELETE OR UPDATE OF user_id, date, api_calls
    ON consumption_log FOR EACH ROW EXECUTE FUNCTION billing_count_calls();

CREATE FUNCTION billing_count_usage() RETURNS trigger LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
BEGIN
    IF TG_OP = 'INSERT' THEN
        PERFORM billing_add_usage(NEW.user_id, NEW.metric, NEW.period_start, NEW.tenant_id, NEW.total);
    ELSIF TG_OP = 'DELETE' THEN
        PERFORM billing_take_usage(OLD.user_id, OLD.metric, OLD.period_start, OLD.total);
    ELSIF NEW.user_id = OLD.user_id AND NEW.metric = OLD.metric
          AND substr(NEW.period_start, 1, 7) = substr(OLD.period_start, 1, 7) THEN
        PERFORM billing_take_usage(NEW.user_id, NEW.metric, NEW.period_start, OLD.total - NEW.total);
    ELSE
        PERFORM billing_take_usage(OLD.user_id, OLD.metric, OLD.period_start, OLD.total);
        PERFORM billing_add_usage(NEW.user_id, NEW.metric, NEW.period_start, NEW.tenant_id, NEW.total);
    END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER usage_aggregates_counted AFTER INSERT OR DELETE OR UPDATE OF user_id, metric, period_start, total
    ON usage_aggregates FOR EACH ROW EXECUTE FUNCTION billing_count_usage();

-- TRUNCATE fires no row's trigger.

CREATE FUNCTION billing_count_nothing() RETURNS trigger LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
BEGIN
    UPDATE usage_counters SET used = 0 WHERE used <> 0 AND (metric = 'api_calls') = (TG_TABLE_NAME = 'consumption_log');
    RETURN NULL;
END $$;
CREATE TRIGGER consumption_log_emptied AFTER TRUNCATE ON consumption_log
    FOR EACH STATEMENT EXECUTE FUNCTION billing_count_nothing();
CREATE TRIGGER usage_aggregates_emptied AFTER TRUNCATE ON usage_aggregates
    FOR EACH STATEMENT EXECUTE FUNCTION billing_count_nothing();

-- A row is its user's tenant's, whatever its writer knew of tenants.

CREATE FUNCTION billing_own() RETURNS trigger LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
BEGIN
    NEW.tenant_id := ${tenant_of NEW.user_id};
    RETURN NEW;
END $$;
CREATE TRIGGER consumption_log_owned BEFORE INSERT ON consumption_log
    FOR EACH ROW EXECUTE FUNCTION billing_own();
CREATE TRIGGER usage_aggregates_owned BEFORE INSERT ON usage_aggregates
    FOR EACH ROW EXECUTE FUNCTION billing_own();
CREATE TRIGGER saas_subscriptions_owned BEFORE INSERT OR UPDATE OF user_id ON saas_subscriptions
    FOR EACH ROW EXECUTE FUNCTION billing_own();
CREATE TRIGGER invoices_owned BEFORE INSERT ON invoices
    FOR EACH ROW EXECUTE FUNCTION billing_own();
CREATE TRIGGER transactions_owned BEFORE INSERT ON transactions
    FOR EACH ROW EXECUTE FUNCTION billing_own();

-- Instants are compared as text, so one that another program wrote in another form of ISO 8601 is told in ours,
-- fractions of a second cut off. What cannot be read stays as it is.

CREATE FUNCTION billing_instant(a_text TEXT) RETURNS TEXT LANGUAGE plpgsql STRICT SET search_path FROM CURRENT AS $$
DECLARE
    parts TEXT[] := regexp_match(
        a_text, '^(\d{4}-\d\d-\d\d)(?:[T ](\d\d:\d\d(?::\d\d)?)(?:\.\d+)? ?([Zz]|[+-]\d\d(?::\d\d)?)?)?$');
    moment TIMESTAMPTZ;
BEGIN
    moment := (parts[1] || ' ' || COALESCE(parts[2], '00:00') || COALESCE(parts[3], 'Z'))::timestamptz;
    IF moment >= '0001-01-01 00:00Z' AND moment <= '9999-12-31 23:59:59Z' THEN
        RETURN to_char(moment AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS"Z"');
    END IF;
    RETURN NULL;
EXCEPTION WHEN data_exception THEN
    RETURN NULL;
END $$;

CREATE FUNCTION billing_told(a_text TEXT) RETURNS TEXT LANGUAGE sql SET search_path FROM CURRENT AS $$
    SELECT COALESCE(billing_instant(a_text), a_text);
$$;

CREATE FUNCTION billing_tell_subscription() RETURNS trigger LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
BEGIN
    NEW.effective_at := billing_told(NEW.effective_at);
    NEW.current_period_start := billing_told(NEW.current_period_start);
    NEW.current_period_end := billing_told(NEW.current_period_end);
    NEW.trial_end := billing_told(NEW.trial_end);
    NEW.canceled_at := billing_told(NEW.canceled_at);
    NEW.ended_at := billing_told(NEW.ended_at);
    NEW.created_at := billing_told(NEW.created_at);
    NEW.updated_at := billing_told(NEW.updated_at);
    RETURN NEW;
END $$;
CREATE TRIGGER saas_subscriptions_told BEFORE INSERT OR UPDATE ON saas_subscriptions
    FOR EACH ROW EXECUTE FUNCTION billing_tell_subscription();

CREATE FUNCTION billing_tell_invoice() RETURNS trigger LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
BEGIN
    NEW.created_at := billing_told(NEW.created_at);
    NEW.paid_at := billing_told(NEW.paid_at);
    NEW.updated_at := billing_told(NEW.updated_at);
    RETURN NEW;
END $$;
CREATE TRIGGER invoices_told BEFORE INSERT OR UPDATE ON invoices
    FOR EACH ROW EXECUTE FUNCTION billing_tell_invoice();

-- A subscription's history. A row is written when something becomes known, and holds from its `at` on over all that was
-- known before. The past is not rewritten by what happens now: a subscription that says since when begins there, but
-- not before the history of its user's earlier ones ends, and one that is written anew begins now. A row that does not
-- say since when holds since ever, if it is its user's first.

CREATE FUNCTION billing_open_subscription() RETURNS trigger LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
DECLARE
    moment TEXT COLLATE "C" := COALESCE(billing_instant(NEW.changed_at), ${now});
    last_at TEXT COLLATE "C";
    is_known BOOLEAN;
BEGIN
    SELECT MAX(at) FILTER (WHERE at <= GREATEST(${now}, moment)), COALESCE(bool_or(subject_id = NEW.id), FALSE)
      INTO last_at, is_known
      FROM billing_status_history WHERE user_id = NEW.user_id AND subject = 'subscription';
    INSERT INTO billing_status_history
        (tenant_id, user_id, subject, subject_id, plan, status, at, actor, reason, plan_id)
    VALUES (NEW.tenant_id, NEW.user_id, 'subscription', NEW.id, NEW.plan, NEW.status,
            CASE WHEN is_known THEN GREATEST(moment, NEW.effective_at)
                 WHEN last_at IS NULL THEN COALESCE(NEW.effective_at, '0001-01-01T00:00:00Z')
                 ELSE GREATEST(COALESCE(NEW.effective_at, NEW.created_at), last_at) END,
            NEW.changed_by, NEW.change_reason, NEW.plan_id);
    UPDATE saas_subscriptions SET changed_at = NULL WHERE id = NEW.id AND changed_at IS NOT NULL;
    RETURN NULL;
END $$;
CREATE TRIGGER saas_subscriptions_opened AFTER INSERT
    ON saas_subscriptions FOR EACH ROW EXECUTE FUNCTION billing_open_subscription();

-- Without changed_at a change is of now, and unsigned. First the old user or the old plan is left: when the row goes to
-- another user, or begins later than now. Then the beginning of what has begun moves back and takes along what followed
-- it; anything else is one row, not before the subscription begins.
CREATE FUNCTION billing_note_subscription() RETURNS trigger LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
DECLARE
    signed BOOLEAN := NEW.changed_at IS DISTINCT FROM OLD.changed_at;
    moment TEXT COLLATE "C" := COALESCE(CASE WHEN signed THEN billing_instant(NEW.changed_at) END, ${now});
    same BOOLEAN := NEW.user_id = OLD.user_id AND NEW.plan IS NOT DISTINCT FROM OLD.plan
        AND (NEW.plan_id IS NULL OR NEW.plan_id IS NOT DISTINCT FROM OLD.plan_id) AND NEW.status = OLD.status;
    -- Who writes another plan and knows nothing of versions means the newest one.
    is_stale BOOLEAN := NEW.plan IS DISTINCT FROM OLD.plan AND NEW.plan_id IS NOT DISTINCT FROM OLD.plan_id;
BEGIN
    IF same AND NEW.effective_at IS NOT DISTINCT FROM OLD.effective_at THEN
        RETURN NULL;
    END IF;
    IF OLD.status <> 'canceled' AND (NEW.user_id <> OLD.user_id
            OR (NEW.effective_at > moment AND NEW.effective_at > COALESCE(OLD.effective_at, ''))) THEN
        INSERT INTO billing_status_history (tenant_id, user_id, subject, subject_id, plan, status, at, plan_id)
        VALUES (OLD.tenant_id, OLD.user_id, 'subscription', OLD.id, OLD.plan, 'canceled', moment, OLD.plan_id);
    END IF;
    IF same AND NEW.effective_at < OLD.effective_at AND OLD.effective_at <= moment THEN
        INSERT INTO billing_status_history
            (tenant_id, user_id, subject, subject_id, plan, status, at, actor, reason, plan_id)
        SELECT tenant_id, user_id, subject, subject_id, plan, status,
               CASE id WHEN MIN(id) OVER () THEN NEW.effective_at ELSE at END, actor, reason, plan_id
          FROM billing_status_history
         WHERE user_id = NEW.user_id AND subject = 'subscription' AND subject_id = NEW.id
         ORDER BY id;
    ELSE
        INSERT INTO billing_status_history
            (tenant_id, user_id, subject, subject_id, plan, status, at, actor, reason, plan_id)
        VALUES (NEW.tenant_id, NEW.user_id, 'subscription', NEW.id, NEW.plan, NEW.status,
                CASE WHEN NEW.user_id = OLD.user_id AND NEW.effective_at IS DISTINCT FROM OLD.effective_at
                          AND NEW.status IN ('trialing', 'active', 'past_due') THEN COALESCE(NEW.effective_at, moment)
                     ELSE GREATEST(moment, NEW.effective_at) END,
                CASE WHEN signed THEN NEW.changed_by END, CASE WHEN signed THEN NEW.change_reason END,
                CASE WHEN NOT is_stale THEN NEW.plan_id END);
    END IF;
    UPDATE saas_subscriptions SET plan_id = NULL WHERE id = NEW.id AND is_stale AND plan_id IS NOT NULL;
    UPDATE saas_subscriptions SET changed_at = NULL WHERE id = NEW.id AND changed_at IS NOT NULL;
    RETURN NULL;
END $$;
CREATE TRIGGER saas_subscriptions_noted AFTER UPDATE OF user_id, plan, plan_id, status, effective_at
    ON saas_subscriptions FOR EACH ROW EXECUTE FUNCTION billing_note_subscription();

CREATE FUNCTION billing_end_subscription() RETURNS trigger LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
BEGIN
    INSERT INTO billing_status_history (tenant_id, user_id, subject, subject_id, plan, status, at, plan_id)
    VALUES (OLD.tenant_id, OLD.user_id, 'subscription', OLD.id, OLD.plan, 'canceled',
            GREATEST(${now}, OLD.effective_at), OLD.plan_id);
    RETURN NULL;
END $$;
CREATE TRIGGER saas_subscriptions_removed AFTER DELETE ON saas_subscriptions
    FOR EACH ROW WHEN (OLD.status <> 'canceled') EXECUTE FUNCTION billing_end_subscription();

CREATE FUNCTION billing_end_all_subscriptions() RETURNS trigger LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
BEGIN
    INSERT INTO billing_status_history (tenant_id, user_id, subject, subject_id, plan, status, at, plan_id)
    SELECT tenant_id, user_id, 'subscription', id, plan, 'canceled', GREATEST(${now}, effective_at), plan_id
      FROM saas_subscriptions WHERE status <> 'canceled';
    RETURN NULL;
END $$;
CREATE TRIGGER saas_subscriptions_emptied BEFORE TRUNCATE ON saas_subscriptions
    FOR EACH STATEMENT EXECUTE FUNCTION billing_end_all_subscriptions();

CREATE FUNCTION billing_note_invoice() RETURNS trigger LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
DECLARE
    signed BOOLEAN;
BEGIN
    IF TG_OP = 'INSERT' THEN
        INSERT INTO billing_status_history (tenant_id, user_id, subject, subject_id, plan, status, at, actor, reason)
        VALUES (NEW.tenant_id, NEW.user_id, 'invoice', NEW.id, NEW.plan, NEW.status, NEW.created_at,
                NEW.changed_by, NEW.change_reason);
    ELSIF NEW.status <> OLD.status THEN
        signed := NEW.changed_at IS DISTINCT FROM OLD.changed_at;
        INSERT INTO billing_status_history (tenant_id, user_id, subject, subject_id, plan, status, at, actor, reason)
        VALUES (NEW.tenant_id, NEW.user_id, 'invoice', NEW.id, NEW.plan, NEW.status,
                COALESCE(CASE WHEN signed THEN billing_instant(NEW.changed_at) END, ${now}),
                CASE WHEN signed THEN NEW.changed_by END, CASE WHEN signed THEN NEW.change_reason END);
    END IF;
    UPDATE invoices SET changed_at = NULL WHERE id = NEW.id AND changed_at IS NOT NULL;
    RETURN NULL;
END $$;
CREATE TRIGGER invoices_noted AFTER INSERT OR UPDATE OF status
    ON invoices FOR EACH ROW EXECUTE FUNCTION billing_note_invoice();
