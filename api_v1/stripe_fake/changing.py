"""What every update does: metadata key by key, an empty text takes a value away."""

from __future__ import annotations

from api_v1.stripe_fake.rendering import Obj


def set_fields(found: Obj, params: Obj, fields: set[str] | frozenset[str]) -> None:
    """The given ones of these fields; what is nested is joined with what stands there."""
    for name in fields & params.keys():
        value = params[name]
        if value == "":
            found[name] = {} if name == "metadata" else None
        elif name == "metadata":
            set_metadata(found, value)
        elif isinstance(value, dict) and isinstance(found.get(name), dict):
            found[name] = found[name] | {key: (None if each == "" else each) for key, each in value.items()}
        else:
            found[name] = value


def set_metadata(found: Obj, given: Obj) -> None:
    joined = (found.get("metadata") or {}) | given
    found["metadata"] = {key: value for key, value in joined.items() if value != ""}


def metadata(params: Obj) -> dict[str, str]:
    return {key: value for key, value in (params.get("metadata") or {}).items() if value != ""}
