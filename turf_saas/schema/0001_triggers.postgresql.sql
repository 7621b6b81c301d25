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

-- A row is its user's tenant's, whatever its writer knew of tenants.

CREATE FUNCTION billing_own() RETURNS trigger LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
BEGIN
    NEW.tenant_id := COALESCE((SELECT tenant_id FROM billing_accounts WHERE user_id = NEW.user_id), 1);
    RETURN NEW;
END $$;
CREATE TRIGGER consumption_log_owned BEFORE INSERT ON consumption_log
    FOR EACH ROW EXECUTE FUNCTION billing_own();
CREATE TRIGGER usage_aggregates_owned BEFORE INSERT ON usage_aggregates
    FOR EACH ROW EXECUTE FUNCTION billing_own();
CREATE TRIGGER saas_subscriptions_owned BEFORE INSERT ON saas_subscriptions
    FOR EACH ROW EXECUTE FUNCTION billing_own();
CREATE TRIGGER invoices_owned BEFORE INSERT ON invoices
    FOR EACH ROW EXECUTE FUNCTION billing_own();
CREATE TRIGGER transactions_owned BEFORE INSERT ON transactions
    FOR EACH ROW EXECUTE FUNCTION billing_own();

-- A subscription's history. A row that does not say since when holds since ever, if it is its user's first.
-- Without changed_at a change is of now, and unsigned. Before the subscription began it is of its beginning, so
-- that the history, read in order, ends with it.

CREATE FUNCTION billing_note_subscription() RETURNS trigger LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
DECLARE
    signed BOOLEAN;
BEGIN
    IF TG_OP = 'INSERT' THEN
        INSERT INTO billing_status_history (tenant_id, user_id, subject, subject_id, plan, status, at, actor, reason)
        VALUES (NEW.tenant_id, NEW.user_id, 'subscription', NEW.id, NEW.plan, NEW.status,
                COALESCE(NEW.effective_at,
                         CASE WHEN EXISTS (SELECT 1 FROM billing_status_history
                                            WHERE user_id = NEW.user_id AND subject = 'subscription')
                              THEN NEW.created_at ELSE '0001-01-01T00:00:00Z' END),
                NEW.changed_by, NEW.change_reason);
        UPDATE saas_subscriptions SET changed_at = NULL WHERE id = NEW.id AND changed_at IS NOT NULL;
    ELSIF TG_OP = 'DELETE' THEN
        IF OLD.status <> 'canceled' THEN
            INSERT INTO billing_status_history (tenant_id, user_id, subject, subject_id, plan, status, at)
            VALUES (OLD.tenant_id, OLD.user_id, 'subscription', OLD.id, OLD.plan, 'canceled',
                    GREATEST(${now}, COALESCE(OLD.effective_at, '')));
        END IF;
    ELSIF NEW.plan IS DISTINCT FROM OLD.plan OR NEW.status <> OLD.status THEN
        signed := NEW.changed_at IS DISTINCT FROM OLD.changed_at;
        INSERT INTO billing_status_history (tenant_id, user_id, subject, subject_id, plan, status, at, actor, reason)
        VALUES (NEW.tenant_id, NEW.user_id, 'subscription', NEW.id, NEW.plan, NEW.status,
                GREATEST(CASE WHEN signed THEN NEW.changed_at ELSE ${now} END, COALESCE(OLD.effective_at, '')),
                CASE WHEN signed THEN NEW.changed_by END, CASE WHEN signed THEN NEW.change_reason END);
        UPDATE saas_subscriptions SET changed_at = NULL WHERE id = NEW.id AND changed_at IS NOT NULL;
    END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER saas_subscriptions_noted AFTER INSERT OR DELETE OR UPDATE OF plan, status
    ON saas_subscriptions FOR EACH ROW EXECUTE FUNCTION billing_note_subscription();

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
                CASE WHEN signed THEN NEW.changed_at ELSE ${now} END,
                CASE WHEN signed THEN NEW.changed_by END, CASE WHEN signed THEN NEW.change_reason END);
    END IF;
    UPDATE invoices SET changed_at = NULL WHERE id = NEW.id AND changed_at IS NOT NULL;
    RETURN NULL;
END $$;
CREATE TRIGGER invoices_noted AFTER INSERT OR UPDATE OF status
    ON invoices FOR EACH ROW EXECUTE FUNCTION billing_note_invoice();
