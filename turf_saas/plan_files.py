"""The catalogue as a reviewed file: TOML, a table `[[plans]]` for each plan, in the words of the API."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from typing import Any, Literal

from billing_db import Connection, atomic
from turf_saas import catalogue
from turf_saas.catalogue import Existing
from turf_saas.checks import invalid
from turf_saas.errors import Fault, InvalidInput, pointer
from turf_saas.plan_drafts import PlanDraft, draft_as_json, draft_from, draft_of
from turf_saas.plan_faults import UNLIMITED, faults_of

MAX_BYTES = 1024 * 1024
MAX_PLANS = 1_000

Kind = Literal["new", "returns", "changed", "unchanged", "missing", "archived"]


@dataclass(frozen=True)
class Difference:
    """What a file says of a plan that the catalogue does not.

    version: the one that holds once the file is applied. fields: what each said and what it would say.
    """

    code: str
    kind: Kind
    version: int
    fields: Mapping[str, tuple[Any, Any]]

    @property
    def is_one(self) -> bool:
        return self.kind != "unchanged"


# -- reading ----------------------------------------------------------------------------------------


def read_file(file: Path, *, currency: str) -> list[PlanDraft]:
    """The plans that stand in it, or a refusal that names every fault. currency: of plans that say none."""
    document = read_toml(file)
    faults = faults_of_file(document)
    if faults:
        raise invalid(faults)
    return [draft_from(plan, currency=currency) for plan in document.get("plans", [])]


def read_toml(file: Path) -> dict[str, Any]:
    try:
        with file.open("rb") as opened:
            raw = opened.read(MAX_BYTES + 1)
        if len(raw) > MAX_BYTES:
            raise ValueError(f"> {MAX_BYTES} bytes")
        return tomllib.loads(raw.decode(), parse_float=Decimal)
    except OSError as error:
        raise InvalidInput("plans_unreadable", file=str(file), reason=error.strerror or type(error).__name__) from None
    except UnicodeDecodeError:
        raise InvalidInput("plans_unreadable", file=str(file), reason="UTF-8") from None
    except RecursionError:
        raise InvalidInput("plans_unreadable", file=str(file), reason="depth") from None
    except ValueError as error:
        raise InvalidInput("plans_unreadable", file=str(file), reason=str(error)[:200]) from None


def faults_of_file(document: Mapping[str, Any]) -> list[Fault]:
    """All that is wrong in any of its plans, and between them."""
    return list(_faults_of_file(document))


def _faults_of_file(document: Mapping[str, Any]) -> Iterator[Fault]:
    for name in document:
        if name != "plans":
            yield Fault(pointer(name), "field_unknown", {})
    plans = document.get("plans", [])
    if not isinstance(plans, list):
        yield Fault("/plans", "field_type", {"expected": "array"})
        return
    if len(plans) > MAX_PLANS:
        yield Fault("/plans", "field_length", {"expected": f"≤ {MAX_PLANS}"})
        return
    seen: set[str] = set()
    for place, plan in enumerate(plans):
        for fault in faults_of(plan):
            yield Fault(pointer("plans", place) + fault.loc, fault.code, fault.params)
        code = plan.get("code") if isinstance(plan, Mapping) else None
        if isinstance(code, str):
            if code in seen:
                yield Fault(pointer("plans", place, "code"), "plan_twice", {"plan": code[:63]})
            seen.add(code)


# -- comparing, applying ----------------------------------------------------------------------------


def compare(db: Connection, tenant_id: int, drafts: Sequence[PlanDraft]) -> list[Difference]:
    """Each plan of the file, and then those that are sold and not in it."""
    known = {plan.code: plan for plan in catalogue.list_plans(db, tenant_id, archived=True)}
    found = []
    for draft in drafts:
        plan = known.pop(draft.code, None)
        if plan is None:
            found.append(Difference(draft.code, "new", 1, {}))
            continue
        fields = _fields(draft_of(plan), draft)
        if plan.archived_at is not None:
            found.append(Difference(draft.code, "returns", plan.version + 1, fields))
        elif fields:
            found.append(Difference(draft.code, "changed", plan.version + 1, fields))
        else:
            found.append(Difference(draft.code, "unchanged", plan.version, {}))
    left = (plan for plan in known.values() if plan.archived_at is None)
    return found + [Difference(plan.code, "missing", plan.version, {}) for plan in left]


def _fields(old: PlanDraft, new: PlanDraft) -> dict[str, tuple[Any, Any]]:
    before, after = draft_as_json(old), draft_as_json(new)
    return {name: (before[name], after[name]) for name in old.differs_from(new)}


def apply(
    db: Connection,
    now: datetime,
    tenant_id: int,
    drafts: Sequence[PlanDraft],
    *,
    default_plan: str,
    existing: Existing = "keep",
    archive_missing: bool = False,
    by: str | None = None,
) -> list[Difference]:
    """The catalogue says what the file says: all of it, or nothing when one plan is refused."""
    with atomic(db):
        catalogue.lock_catalogue(db, tenant_id)
        done = []
        by_code = {draft.code: draft for draft in drafts}
        for found in compare(db, tenant_id, drafts):
            if found.kind in ("new", "returns"):
                catalogue.create_plan(db, now, tenant_id, by_code[found.code], by=by)
            elif found.kind == "changed":
                changes = {name: getattr(by_code[found.code], name) for name in found.fields}
                catalogue.edit_plan(db, now, tenant_id, found.code, changes, existing=existing, by=by)
            elif found.kind == "missing" and archive_missing:
                catalogue.archive_plan(db, now, tenant_id, found.code, default_plan=default_plan)
                found = Difference(found.code, "archived", found.version, {})  # noqa: PLW2901
            done.append(found)
    return done


# -- writing ----------------------------------------------------------------------------------------


def as_toml(draft: PlanDraft) -> str:
    """The plan as a table of such a file; read again it is the same plan."""
    plan = draft_as_json(draft)
    lines = ["[[plans]]"]
    for name, value in plan.items():
        if name not in ("limits", "prices") and value not in (None, ""):
            lines.append(f"{name} = {_toml(value)}")
    for metric, limit in plan["limits"].items():
        lines.append(f"limits.{metric} = {_toml({**limit, 'included': _included(limit['included'])})}")
    for price in plan["prices"]:
        lines += ["", "[[plans.prices]]", *(f"{name} = {_toml(value)}" for name, value in price.items())]
    return "\n".join(lines) + "\n"


def _included(included: int | None) -> int | str:
    return UNLIMITED if included is None else included


def _toml(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, Mapping):
        return "{ " + ", ".join(f"{name} = {_toml(part)}" for name, part in value.items() if part is not None) + " }"
    if isinstance(value, list):
        return "[\n" + "".join(f"    {_toml(part)},\n" for part in value) + "]"
    # A text of JSON is one of TOML too, but for DEL.
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
