-- Events are facts: none is changed, and only those that were archived are taken out.

CREATE FUNCTION billing_keep_usage_events() RETURNS trigger LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
BEGIN
    IF TG_OP = 'UPDATE' THEN
        RAISE EXCEPTION 'a usage event is never changed: record a correction';
    ELSIF TG_OP = 'TRUNCATE' THEN
        RAISE EXCEPTION 'a usage event is never deleted before it is archived';
    ELSIF NOT EXISTS (SELECT 1 FROM usage_archives WHERE before_day > OLD.day) THEN
        RAISE EXCEPTION 'a usage event is never deleted before it is archived';
    END IF;
    RETURN OLD;
END $$;
CREATE TRIGGER usage_events_kept BEFORE UPDATE OR DELETE ON usage_events
    FOR EACH ROW EXECUTE FUNCTION billing_keep_usage_events();
CREATE TRIGGER usage_events_not_emptied BEFORE TRUNCATE ON usage_events
    FOR EACH STATEMENT EXECUTE FUNCTION billing_keep_usage_events();
