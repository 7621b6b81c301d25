"""The migrations that there are, by hand: a new one is added here."""

MIGRATIONS = ["0001_foundation", "0002_metering", "0003_subscriptions", "0004_invoices", "0005_jobs", "0006_payments"]
