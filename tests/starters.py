"""The plans of a new database, as its decisions see them."""

from __future__ import annotations

import json

from turf_saas.plans import PlanTerms, terms_of
from turf_saas.starter_plans import STARTERS


def terms_of_starter(code: str) -> PlanTerms:
    plan = next(each for each in STARTERS if each["code"] == code)
    return terms_of(code, json.dumps(plan["limits"]), json.dumps(plan["prices"]), "EUR")
