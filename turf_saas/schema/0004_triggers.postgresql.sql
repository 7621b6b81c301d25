-- What was issued is never changed, but for where it stands: status, and once each paid_at, pdf_path and
-- stripe_invoice_id.

CREATE FUNCTION billing_freeze_invoice() RETURNS trigger LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
DECLARE
    before invoices := OLD;
BEGIN
    IF OLD.hash IS NULL THEN
        IF NEW.hash IS NOT NULL THEN
            RAISE EXCEPTION 'an invoice is issued when it is written, and not later' USING ERRCODE = 'check_violation';
        END IF;
        RETURN NEW;
    END IF;
    -- Money may come for an invoice that was cancelled meanwhile, and go out again; and what went out may come back.
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
CREATE TRIGGER invoices_frozen BEFORE UPDATE ON invoices
    FOR EACH ROW EXECUTE FUNCTION billing_freeze_invoice();

CREATE FUNCTION billing_keep_invoice() RETURNS trigger LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
BEGIN
    IF OLD.hash IS NOT NULL THEN
        RAISE EXCEPTION 'an issued invoice is never deleted: issue a credit note' USING ERRCODE = 'check_violation';
    END IF;
    RETURN OLD;
END $$;
CREATE TRIGGER invoices_kept BEFORE DELETE ON invoices
    FOR EACH ROW EXECUTE FUNCTION billing_keep_invoice();

CREATE FUNCTION billing_keep_issued() RETURNS trigger LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
BEGIN
    RAISE EXCEPTION 'what was issued is never changed, deleted or emptied' USING ERRCODE = 'check_violation';
END $$;
CREATE FUNCTION billing_keep_all_issued() RETURNS trigger LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
BEGIN
    IF EXISTS (SELECT 1 FROM invoices WHERE hash IS NOT NULL) THEN
        RAISE EXCEPTION 'what was issued is never changed, deleted or emptied' USING ERRCODE = 'check_violation';
    END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER invoices_not_emptied BEFORE TRUNCATE ON invoices
    FOR EACH STATEMENT EXECUTE FUNCTION billing_keep_all_issued();
CREATE TRIGGER transactions_not_emptied BEFORE TRUNCATE ON transactions
    FOR EACH STATEMENT EXECUTE FUNCTION billing_keep_all_issued();
CREATE TRIGGER billing_invoice_lines_frozen BEFORE UPDATE OR DELETE ON billing_invoice_lines
    FOR EACH ROW EXECUTE FUNCTION billing_keep_issued();
CREATE TRIGGER billing_invoice_taxes_frozen BEFORE UPDATE OR DELETE ON billing_invoice_taxes
    FOR EACH ROW EXECUTE FUNCTION billing_keep_issued();
CREATE TRIGGER billing_invoice_lines_not_emptied BEFORE TRUNCATE ON billing_invoice_lines
    FOR EACH STATEMENT EXECUTE FUNCTION billing_keep_all_issued();
CREATE TRIGGER billing_invoice_taxes_not_emptied BEFORE TRUNCATE ON billing_invoice_taxes
    FOR EACH STATEMENT EXECUTE FUNCTION billing_keep_all_issued();

-- Only the lines and taxes that the invoice said it has, each once; and with the last of them the sums are right.
CREATE FUNCTION billing_add_line() RETURNS trigger LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
DECLARE
    issued invoices;
BEGIN
    SELECT * INTO issued FROM invoices WHERE id = NEW.invoice_id AND hash IS NOT NULL;
    IF NEW.position > COALESCE(issued.line_count, 0) THEN
        RAISE EXCEPTION 'an issued invoice gets no further line' USING ERRCODE = 'check_violation';
    END IF;
    IF NEW.position = issued.line_count AND issued.net_cents <>
        (SELECT SUM(net_cents) FROM billing_invoice_lines WHERE invoice_id = NEW.invoice_id) THEN
        RAISE EXCEPTION 'an invoice is the sum of its lines and taxes' USING ERRCODE = 'check_violation';
    END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER billing_invoice_lines_summed AFTER INSERT ON billing_invoice_lines
    FOR EACH ROW EXECUTE FUNCTION billing_add_line();

CREATE FUNCTION billing_add_tax() RETURNS trigger LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
DECLARE
    issued invoices;
    base BIGINT;
    tax BIGINT;
BEGIN
    SELECT * INTO issued FROM invoices WHERE id = NEW.invoice_id AND hash IS NOT NULL;
    IF NEW.position > COALESCE(issued.tax_count, 0) THEN
        RAISE EXCEPTION 'an issued invoice gets no further tax' USING ERRCODE = 'check_violation';
    END IF;
    IF NEW.position = issued.tax_count THEN
        SELECT SUM(base_cents), SUM(tax_cents) INTO base, tax
          FROM billing_invoice_taxes WHERE invoice_id = NEW.invoice_id;
        IF issued.tax_cents <> tax OR issued.net_cents <> base OR issued.amount_cents <> base + tax THEN
            RAISE EXCEPTION 'an invoice is the sum of its lines and taxes' USING ERRCODE = 'check_violation';
        END IF;
    END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER billing_invoice_taxes_summed AFTER INSERT ON billing_invoice_taxes
    FOR EACH ROW EXECUTE FUNCTION billing_add_tax();

-- So are the rows of the ledger that tell of it: written with it, before the chain has moved on to it. Only money that
-- goes out is added later.
CREATE FUNCTION billing_keep_transaction() RETURNS trigger LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
DECLARE
    before transactions := OLD;
BEGIN
    IF (SELECT hash FROM invoices WHERE id = OLD.invoice_id) IS NOT NULL THEN
        IF TG_OP = 'DELETE' THEN
            RAISE EXCEPTION 'a row of the ledger of an issued invoice is never deleted'
                USING ERRCODE = 'check_violation';
        END IF;
        IF OLD.stripe_payment_intent_id IS NULL THEN
            before.stripe_payment_intent_id := NEW.stripe_payment_intent_id;
        END IF;
        IF before IS DISTINCT FROM NEW THEN
            RAISE EXCEPTION 'a row of the ledger of an issued invoice is never changed'
                USING ERRCODE = 'check_violation';
        END IF;
    ELSIF TG_OP = 'UPDATE' AND NEW.invoice_id IS DISTINCT FROM OLD.invoice_id
        AND (SELECT hash FROM invoices WHERE id = NEW.invoice_id) IS NOT NULL THEN
        RAISE EXCEPTION 'the ledger of an issued invoice gets no further row' USING ERRCODE = 'check_violation';
    END IF;
    RETURN CASE TG_OP WHEN 'DELETE' THEN OLD ELSE NEW END;
END $$;
CREATE TRIGGER transactions_frozen BEFORE UPDATE OR DELETE ON transactions
    FOR EACH ROW EXECUTE FUNCTION billing_keep_transaction();

CREATE FUNCTION billing_add_transaction() RETURNS trigger LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
BEGIN
    IF EXISTS (SELECT 1 FROM invoices AS i JOIN billing_invoice_chains AS c ON c.tenant_id = i.tenant_id
                WHERE i.id = NEW.invoice_id AND i.hash IS NOT NULL AND i.chain_position <= c.position) THEN
        RAISE EXCEPTION 'the ledger of an issued invoice gets no further row' USING ERRCODE = 'check_violation';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER transactions_not_added BEFORE INSERT ON transactions
    FOR EACH ROW WHEN (NEW.type <> 'refund' AND NEW.invoice_id IS NOT NULL)
    EXECUTE FUNCTION billing_add_transaction();

-- A series only counts up, and so does a chain.
CREATE FUNCTION billing_count_series_up() RETURNS trigger LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
BEGIN
    IF TG_OP = 'DELETE' THEN
        RAISE EXCEPTION 'a series of invoice numbers is never deleted' USING ERRCODE = 'check_violation';
    END IF;
    IF NEW.last_number < OLD.last_number OR NEW.first_number <> OLD.first_number
        OR (NEW.tenant_id, NEW.series) <> (OLD.tenant_id, OLD.series) THEN
        RAISE EXCEPTION 'a series of invoice numbers only counts up' USING ERRCODE = 'check_violation';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER billing_invoice_series_counts_up BEFORE UPDATE OR DELETE ON billing_invoice_series
    FOR EACH ROW EXECUTE FUNCTION billing_count_series_up();
CREATE TRIGGER billing_invoice_series_not_emptied BEFORE TRUNCATE ON billing_invoice_series
    FOR EACH STATEMENT EXECUTE FUNCTION billing_keep_all_issued();

CREATE FUNCTION billing_grow_chain() RETURNS trigger LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
BEGIN
    IF TG_OP = 'DELETE' THEN
        RAISE EXCEPTION 'a chain of invoices is never deleted' USING ERRCODE = 'check_violation';
    END IF;
    IF NEW.tenant_id <> OLD.tenant_id OR NEW.position <= OLD.position THEN
        RAISE EXCEPTION 'a chain of invoices only grows' USING ERRCODE = 'check_violation';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER billing_invoice_chains_grow BEFORE UPDATE OR DELETE ON billing_invoice_chains
    FOR EACH ROW EXECUTE FUNCTION billing_grow_chain();
CREATE TRIGGER billing_invoice_chains_not_emptied BEFORE TRUNCATE ON billing_invoice_chains
    FOR EACH STATEMENT EXECUTE FUNCTION billing_keep_all_issued();
