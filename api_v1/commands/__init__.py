"""`flask billing …`: what is run at a prompt or by cron. Importing a module here hangs its commands on the blueprint.

Data on stdout, refusals on stderr. Exit code 0: done; 1: refused, or the doctor found an error; 2: the command line is
wrong; 3: a setting is wrong, and nothing was started.
"""

from api_v1.blueprint import billing_bp

billing_bp.cli.help = "Metering, plans and invoices: what the owner does at a prompt."
billing_bp.cli.short_help = "Metering, plans and invoices."
