-- Money may come for an invoice that was cancelled meanwhile, and go out again; and what went out may come back.
DROP TRIGGER invoices_status_moves;
CREATE TRIGGER invoices_status_moves BEFORE UPDATE OF status ON invoices
    WHEN OLD.hash IS NOT NULL AND NEW.status IS NOT OLD.status
     AND OLD.status || '>' || COALESCE(NEW.status, '') NOT IN
         ('pending>paid', 'pending>overdue', 'pending>cancelled', 'overdue>paid', 'overdue>cancelled', 'paid>refunded',
          'cancelled>refunded', 'refunded>paid')
BEGIN
    SELECT RAISE(ABORT, 'an invoice does not move from this status to that one');
END;
