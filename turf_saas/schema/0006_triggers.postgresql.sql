-- Money may come for an invoice that was cancelled meanwhile, and go out again; and what went out may come back.
CREATE OR REPLACE FUNCTION billing_freeze_invoice() RETURNS trigger LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
DECLARE
    before invoices := OLD;
BEGIN
    IF OLD.hash IS NULL THEN
        IF NEW.hash IS NOT NULL THEN
            RAISE EXCEPTION 'an invoice is issued when it is written, and not later' USING ERRCODE = 'check_violation';
        END IF;
        RETURN NEW;
    END IF;
    IF NEW.status <> OLD.status AND OLD.status || '>' || NEW.status NOT IN
        ('pending>paid', 'pending>overdue', 'pending>cancelled', 'overdue>paid', 'overdue>cancelled', 'paid>refunded',
         'cancelled>refunded', 'refunded>paid')
    THEN
        RAISE EXCEPTION 'an invoice does not move from this status to that one' USING ERRCODE = 'check_violation';
    END IF;
    IF OLD.paid_at IS NULL THEN before.paid_at := NEW.paid_at; END IF;
    IF OLD.pdf_path IS NULL THEN before.pdf_path := NEW.pdf_path; END IF;
    IF OLD.stripe_invoice_id IS NULL THEN before.stripe_invoice_id := NEW.stripe_invoice_id; END IF;
    before.status := NEW.status;
    before.changed_at := NEW.changed_at;
    before.changed_by := NEW.changed_by;
    before.change_reason := NEW.change_reason;
    before.updated_at := NEW.updated_at;
    IF before IS DISTINCT FROM NEW THEN
        RAISE EXCEPTION 'an issued invoice is never changed: issue a credit note' USING ERRCODE = 'check_violation';
    END IF;
    RETURN NEW;
END $$;
