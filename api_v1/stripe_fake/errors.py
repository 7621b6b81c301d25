"""What Stripe says when it refuses."""

from __future__ import annotations

from typing import Any


class Refused(Exception):
    """A request that Stripe would refuse: status, type, code and the parameter that is to blame."""

    def __init__(
        self,
        message: str,
        *,
        code: str | None = None,
        param: str | None = None,
        status: int = 400,
        kind: str = "invalid_request_error",
        **more: Any,
    ) -> None:
        super().__init__(message)
        self.status = status
        said = {"type": kind, "code": code, "message": message, "param": param, **more}
        self.error = {name: value for name, value in said.items() if value is not None}

    @property
    def body(self) -> dict[str, Any]:
        return {"error": self.error}


def missing(object_type: str, object_id: str, *, param: str = "id", status: int = 404) -> Refused:
    noun = NOUNS.get(object_type, object_type)
    return Refused(f"No such {noun}: '{object_id}'", code="resource_missing", param=param, status=status)


NOUNS = {"payment_method": "PaymentMethod", "checkout.session": "checkout.session", "credit_note": "credit note"}
