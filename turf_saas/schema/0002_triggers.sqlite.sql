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
