-- What was issued is never changed, but for where it stands: status, and once each paid_at, pdf_path and
-- stripe_invoice_id.

-- IS NOT everywhere: with OR REPLACE a NULL becomes the column's default, after the triggers have seen a NULL.
CREATE TRIGGER invoices_frozen BEFORE UPDATE ON invoices
    WHEN OLD.hash IS NOT NULL
     AND (NEW.id IS NOT OLD.id OR NEW.invoice_number IS NOT OLD.invoice_number OR NEW.user_id IS NOT OLD.user_id
       OR NEW.period_start IS NOT OLD.period_start OR NEW.period_end IS NOT OLD.period_end
       OR NEW.plan IS NOT OLD.plan OR NEW.amount_cents IS NOT OLD.amount_cents OR NEW.currency IS NOT OLD.currency
       OR NEW.created_at IS NOT OLD.created_at OR NEW.tenant_id IS NOT OLD.tenant_id OR NEW.kind IS NOT OLD.kind
       OR NEW.month IS NOT OLD.month
       OR NEW.series IS NOT OLD.series OR NEW.series_number IS NOT OLD.series_number
       OR NEW.net_cents IS NOT OLD.net_cents OR NEW.tax_cents IS NOT OLD.tax_cents
       OR NEW.issued_at IS NOT OLD.issued_at OR NEW.due_on IS NOT OLD.due_on OR NEW.locale IS NOT OLD.locale
       OR NEW.seller IS NOT OLD.seller OR NEW.buyer IS NOT OLD.buyer OR NEW.mentions IS NOT OLD.mentions
       OR NEW.billed IS NOT OLD.billed OR NEW.credited_invoice_id IS NOT OLD.credited_invoice_id
       OR NEW.reason IS NOT OLD.reason OR NEW.line_count IS NOT OLD.line_count OR NEW.tax_count IS NOT OLD.tax_count
       OR NEW.chain_position IS NOT OLD.chain_position OR NEW.previous_hash IS NOT OLD.previous_hash
       OR NEW.hash IS NOT OLD.hash
       OR (OLD.paid_at IS NOT NULL AND NEW.paid_at IS NOT OLD.paid_at)
       OR (OLD.pdf_path IS NOT NULL AND NEW.pdf_path IS NOT OLD.pdf_path)
       OR (OLD.stripe_invoice_id IS NOT NULL AND NEW.stripe_invoice_id IS NOT OLD.stripe_invoice_id))
BEGIN
    SELECT RAISE(ABORT, 'an issued invoice is never changed: issue a credit note');
END;

CREATE TRIGGER invoices_issued_once BEFORE UPDATE OF hash ON invoices
    WHEN OLD.hash IS NULL AND NEW.hash IS NOT NULL
BEGIN
    SELECT RAISE(ABORT, 'an invoice is issued when it is written, and not later');
END;

-- Money may come for an invoice that was cancelled meanwhile, and go out again; and what went out may come back.
CREATE TRIGGER invoices_status_moves BEFORE UPDATE OF status ON invoices
    WHEN OLD.hash IS NOT NULL AND NEW.status IS NOT OLD.status
     AND OLD.status || '>' || COALESCE(NEW.status, '') NOT IN
         ('pending>paid', 'pending>overdue', 'pending>cancelled', 'overdue>paid', 'overdue>cancelled', 'paid>refunded',
          'cancelled>refunded', 'refunded>paid')
BEGIN
    SELECT RAISE(ABORT, 'an invoice does not move from this status to that one');
END;

CREATE TRIGGER invoices_kept BEFORE DELETE ON invoices
    WHEN OLD.hash IS NOT NULL
BEGIN
    SELECT RAISE(ABORT, 'an issued invoice is never deleted: issue a credit note');
END;

-- INSERT OR REPLACE and UPDATE OR REPLACE delete the row in their way, and no trigger of it need fire.
CREATE TRIGGER invoices_not_replaced BEFORE INSERT ON invoices
    WHEN EXISTS (SELECT 1 FROM invoices WHERE id = NEW.id AND hash IS NOT NULL)
      OR EXISTS (SELECT 1 FROM invoices WHERE tenant_id = COALESCE(NEW.tenant_id, 1)
                                          AND invoice_number = NEW.invoice_number AND hash IS NOT NULL)
      OR EXISTS (SELECT 1 FROM invoices WHERE stripe_invoice_id = NEW.stripe_invoice_id AND hash IS NOT NULL)
      OR (NEW.kind = 'period' AND EXISTS (SELECT 1 FROM invoices WHERE user_id = NEW.user_id AND month = NEW.month
                                             AND kind = 'period' AND hash IS NOT NULL))
      OR EXISTS (SELECT 1 FROM invoices WHERE tenant_id = COALESCE(NEW.tenant_id, 1)
                                          AND chain_position = NEW.chain_position)
      OR EXISTS (SELECT 1 FROM invoices WHERE tenant_id = COALESCE(NEW.tenant_id, 1) AND series = NEW.series
                                          AND series_number = NEW.series_number)
BEGIN
    SELECT RAISE(ABORT, 'an issued invoice is never replaced');
END;

-- Not OF these columns: rowid is another name of id, and stands in no such list.
CREATE TRIGGER invoices_not_overwritten BEFORE UPDATE ON invoices
    WHEN EXISTS (SELECT 1 FROM invoices WHERE id = NEW.id AND id <> OLD.id AND hash IS NOT NULL)
      OR EXISTS (SELECT 1 FROM invoices WHERE tenant_id = COALESCE(NEW.tenant_id, 1)
                                          AND invoice_number = NEW.invoice_number AND id <> OLD.id AND hash IS NOT NULL)
      OR EXISTS (SELECT 1 FROM invoices WHERE stripe_invoice_id = NEW.stripe_invoice_id
                                          AND id <> OLD.id AND hash IS NOT NULL)
      OR (NEW.kind = 'period' AND EXISTS (SELECT 1 FROM invoices WHERE user_id = NEW.user_id AND month = NEW.month
                                             AND kind = 'period' AND id <> OLD.id AND hash IS NOT NULL))
      OR EXISTS (SELECT 1 FROM invoices WHERE tenant_id = COALESCE(NEW.tenant_id, 1)
                                          AND chain_position = NEW.chain_position AND id <> OLD.id)
      OR EXISTS (SELECT 1 FROM invoices WHERE tenant_id = COALESCE(NEW.tenant_id, 1) AND series = NEW.series
                                          AND series_number = NEW.series_number AND id <> OLD.id)
BEGIN
    SELECT RAISE(ABORT, 'an issued invoice is never replaced');
END;

-- Only the lines and taxes that the invoice said it has, each once; and with the last of them the sums are right.
CREATE TRIGGER billing_invoice_lines_announced BEFORE INSERT ON billing_invoice_lines
    WHEN typeof(NEW.position) <> 'integer'
      OR NEW.position > COALESCE((SELECT line_count FROM invoices WHERE id = NEW.invoice_id AND hash IS NOT NULL), 0)
      OR EXISTS (SELECT 1 FROM billing_invoice_lines WHERE invoice_id = NEW.invoice_id AND position = NEW.position)
BEGIN
    SELECT RAISE(ABORT, 'an issued invoice gets no further line');
END;
CREATE TRIGGER billing_invoice_lines_summed AFTER INSERT ON billing_invoice_lines
    WHEN NEW.position = (SELECT line_count FROM invoices WHERE id = NEW.invoice_id)
     AND (SELECT net_cents FROM invoices WHERE id = NEW.invoice_id)
         <> (SELECT SUM(net_cents) FROM billing_invoice_lines WHERE invoice_id = NEW.invoice_id)
BEGIN
    SELECT RAISE(ABORT, 'an invoice is the sum of its lines and taxes');
END;
CREATE TRIGGER billing_invoice_lines_frozen BEFORE UPDATE ON billing_invoice_lines
BEGIN
    SELECT RAISE(ABORT, 'a line of an issued invoice is never changed');
END;
CREATE TRIGGER billing_invoice_lines_kept BEFORE DELETE ON billing_invoice_lines
BEGIN
    SELECT RAISE(ABORT, 'a line of an issued invoice is never deleted');
END;

CREATE TRIGGER billing_invoice_taxes_announced BEFORE INSERT ON billing_invoice_taxes
    WHEN typeof(NEW.position) <> 'integer'
      OR NEW.position > COALESCE((SELECT tax_count FROM invoices WHERE id = NEW.invoice_id AND hash IS NOT NULL), 0)
      OR EXISTS (SELECT 1 FROM billing_invoice_taxes
                  WHERE invoice_id = NEW.invoice_id
                    AND (position = NEW.position
                      OR (vat_category = NEW.vat_category AND vat_rate = NEW.vat_rate)))
BEGIN
    SELECT RAISE(ABORT, 'an issued invoice gets no further tax');
END;
CREATE TRIGGER billing_invoice_taxes_summed AFTER INSERT ON billing_invoice_taxes
    WHEN NEW.position = (SELECT tax_count FROM invoices WHERE id = NEW.invoice_id)
     AND (SELECT tax_cents <> (SELECT SUM(tax_cents) FROM billing_invoice_taxes WHERE invoice_id = NEW.invoice_id)
              OR net_cents <> (SELECT SUM(base_cents) FROM billing_invoice_taxes WHERE invoice_id = NEW.invoice_id)
              OR amount_cents <> net_cents + tax_cents
            FROM invoices WHERE id = NEW.invoice_id)
BEGIN
    SELECT RAISE(ABORT, 'an invoice is the sum of its lines and taxes');
END;
CREATE TRIGGER billing_invoice_taxes_frozen BEFORE UPDATE ON billing_invoice_taxes
BEGIN
    SELECT RAISE(ABORT, 'a tax of an issued invoice is never changed');
END;
CREATE TRIGGER billing_invoice_taxes_kept BEFORE DELETE ON billing_invoice_taxes
BEGIN
    SELECT RAISE(ABORT, 'a tax of an issued invoice is never deleted');
END;

-- So are the rows of the ledger that tell of it: written with it, before the chain has moved on to it. Only money that
-- goes out is added later.
CREATE TRIGGER transactions_frozen BEFORE UPDATE ON transactions
    WHEN (SELECT hash FROM invoices WHERE id = OLD.invoice_id) IS NOT NULL
     AND (NEW.id IS NOT OLD.id OR NEW.user_id IS NOT OLD.user_id OR NEW.invoice_id IS NOT OLD.invoice_id
       OR NEW.type IS NOT OLD.type OR NEW.amount_cents IS NOT OLD.amount_cents OR NEW.currency IS NOT OLD.currency
       OR NEW.tenant_id IS NOT OLD.tenant_id OR NEW.description IS NOT OLD.description
       OR NEW.created_at IS NOT OLD.created_at
       OR (OLD.stripe_payment_intent_id IS NOT NULL
           AND NEW.stripe_payment_intent_id IS NOT OLD.stripe_payment_intent_id))
BEGIN
    SELECT RAISE(ABORT, 'a row of the ledger of an issued invoice is never changed');
END;
CREATE TRIGGER transactions_kept BEFORE DELETE ON transactions
    WHEN (SELECT hash FROM invoices WHERE id = OLD.invoice_id) IS NOT NULL
BEGIN
    SELECT RAISE(ABORT, 'a row of the ledger of an issued invoice is never deleted');
END;
CREATE TRIGGER transactions_not_added BEFORE INSERT ON transactions
    WHEN NEW.type <> 'refund'
     AND EXISTS (SELECT 1 FROM invoices AS i JOIN billing_invoice_chains AS c ON c.tenant_id = i.tenant_id
                  WHERE i.id = NEW.invoice_id AND i.hash IS NOT NULL AND i.chain_position <= c.position)
BEGIN
    SELECT RAISE(ABORT, 'the ledger of an issued invoice gets no further row');
END;
CREATE TRIGGER transactions_not_attached BEFORE UPDATE ON transactions
    WHEN NEW.invoice_id IS NOT OLD.invoice_id AND (SELECT hash FROM invoices WHERE id = NEW.invoice_id) IS NOT NULL
BEGIN
    SELECT RAISE(ABORT, 'the ledger of an issued invoice gets no further row');
END;
CREATE TRIGGER transactions_not_replaced BEFORE INSERT ON transactions
    WHEN EXISTS (SELECT 1 FROM transactions AS t JOIN invoices AS i ON i.id = t.invoice_id
                  WHERE t.id = NEW.id AND i.hash IS NOT NULL)
      OR EXISTS (SELECT 1 FROM transactions AS t JOIN invoices AS i ON i.id = t.invoice_id
                  WHERE t.stripe_payment_intent_id = NEW.stripe_payment_intent_id AND t.type = NEW.type
                    AND t.type <> 'refund' AND i.hash IS NOT NULL)
BEGIN
    SELECT RAISE(ABORT, 'a row of the ledger of an issued invoice is never replaced');
END;
CREATE TRIGGER transactions_not_overwritten BEFORE UPDATE ON transactions
    WHEN EXISTS (SELECT 1 FROM transactions AS t JOIN invoices AS i ON i.id = t.invoice_id
                  WHERE t.id = NEW.id AND t.id <> OLD.id AND i.hash IS NOT NULL)
      OR EXISTS (SELECT 1 FROM transactions AS t JOIN invoices AS i ON i.id = t.invoice_id
                  WHERE t.stripe_payment_intent_id = NEW.stripe_payment_intent_id AND t.type = NEW.type
                    AND t.type <> 'refund' AND t.id <> OLD.id AND i.hash IS NOT NULL)
BEGIN
    SELECT RAISE(ABORT, 'a row of the ledger of an issued invoice is never replaced');
END;

-- A series only counts up, and so does a chain.
CREATE TRIGGER billing_invoice_series_counts_up BEFORE UPDATE ON billing_invoice_series
    WHEN NEW.last_number < OLD.last_number OR NEW.first_number IS NOT OLD.first_number
      OR NEW.series IS NOT OLD.series OR NEW.tenant_id IS NOT OLD.tenant_id OR NEW.rowid <> OLD.rowid
BEGIN
    SELECT RAISE(ABORT, 'a series of invoice numbers only counts up');
END;
CREATE TRIGGER billing_invoice_series_kept BEFORE DELETE ON billing_invoice_series
BEGIN
    SELECT RAISE(ABORT, 'a series of invoice numbers is never deleted');
END;
CREATE TRIGGER billing_invoice_series_not_replaced BEFORE INSERT ON billing_invoice_series
    WHEN EXISTS (SELECT 1 FROM billing_invoice_series
                  WHERE (tenant_id = COALESCE(NEW.tenant_id, 1) AND series = NEW.series) OR rowid = NEW.rowid)
BEGIN
    SELECT RAISE(ABORT, 'a series of invoice numbers is never replaced');
END;
CREATE TRIGGER billing_invoice_chains_grow BEFORE UPDATE ON billing_invoice_chains
    WHEN NEW.tenant_id <> OLD.tenant_id OR NEW.position <= OLD.position
BEGIN
    SELECT RAISE(ABORT, 'a chain of invoices only grows');
END;
CREATE TRIGGER billing_invoice_chains_kept BEFORE DELETE ON billing_invoice_chains
BEGIN
    SELECT RAISE(ABORT, 'a chain of invoices is never deleted');
END;
CREATE TRIGGER billing_invoice_chains_not_replaced BEFORE INSERT ON billing_invoice_chains
    WHEN EXISTS (SELECT 1 FROM billing_invoice_chains WHERE tenant_id = NEW.tenant_id AND position >= NEW.position)
BEGIN
    SELECT RAISE(ABORT, 'a chain of invoices only grows');
END;
