-- Events are facts: none is changed, and only those that were archived are taken out.

CREATE TRIGGER usage_events_fixed BEFORE UPDATE ON usage_events
BEGIN
    SELECT RAISE(ABORT, 'a usage event is never changed: record a correction');
END;

CREATE TRIGGER usage_events_kept BEFORE DELETE ON usage_events
    WHEN NOT EXISTS (SELECT 1 FROM usage_archives WHERE before_day > OLD.day)
BEGIN
    SELECT RAISE(ABORT, 'a usage event is never deleted before it is archived');
END;

-- As with billing_user_removed: what the user asked, capped and held is not the next one's who gets his id.
CREATE TRIGGER usage_user_removed AFTER DELETE ON ${users}
BEGIN
    DELETE FROM billing_idempotency_keys WHERE user_id = OLD.${users_id};
    DELETE FROM billing_spending_caps WHERE user_id = OLD.${users_id};
    UPDATE usage_reservations SET state = 'expired', closed_at = ${now}
     WHERE user_id = OLD.${users_id} AND state = 'held';
    UPDATE usage_counters SET reserved = 0 WHERE user_id = OLD.${users_id} AND reserved > 0;
END;
