"""What a proof finds: what is wrong, and what is right but not billed yet."""

from __future__ import annotations

from typing import NamedTuple


class Finding(NamedTuple):
    """Something that is not as it was issued. kind: in which respect; number: of which document, where it is one."""

    kind: str
    sentence: str
    number: str | None = None
    tenant_id: int | None = None
