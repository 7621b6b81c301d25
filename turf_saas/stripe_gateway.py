"""The one door to Stripe: nothing else imports its SDK, and what comes out of here is plain."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import datetime

SIGNED_AT = re.compile(r"(?:^|,)t=([0-9]{1,12})(?:,|$)")


def is_signed(raw: bytes, header: str | None, secrets: Sequence[str], now: datetime, *, tolerance: int) -> bool:
    """Whether Stripe has signed these bytes with one of the secrets, within so many seconds of now, before or after."""
    from stripe import SignatureVerificationError, WebhookSignature

    signed_at = SIGNED_AT.search(header or "")
    if header is None or signed_at is None or abs(now.timestamp() - int(signed_at[1])) > tolerance:
        return False
    try:
        text = raw.decode()
    except UnicodeDecodeError:
        return False
    for secret in secrets:
        try:
            if WebhookSignature.verify_header(text, header, secret, tolerance=None):
                return True
        except (SignatureVerificationError, ValueError, TypeError):  # TypeError: what is compared is no ASCII
            continue
    return False
