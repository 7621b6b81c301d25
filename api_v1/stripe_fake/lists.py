"""Lists: filters, pages by object, the newest first."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from api_v1.stripe_fake.errors import Refused, missing
from api_v1.stripe_fake.rendering import Obj, listed, rendered
from api_v1.stripe_fake.world import World

Filter = Callable[[World, Obj, Any], bool]
PAGE, LARGEST_PAGE = 10, 100
OF_EVERY_LIST = {"limit", "starting_after", "ending_before", "expand"}


def page(world: World, params: Obj, found: list[Obj], url: str) -> Obj:
    """One page of what was found, with `data.…` expanded."""
    limit = params.get("limit", PAGE)
    if not 1 <= limit <= LARGEST_PAGE:
        raise Refused(
            f"This value must be between 1 and {LARGEST_PAGE}.", code="parameter_invalid_integer", param="limit"
        )
    after, before = params.get("starting_after"), params.get("ending_before")
    if after and before:
        raise Refused("You cannot parameterize both starting_after and ending_before", code="parameters_exclusive")
    if after:
        found = found[_place(world, found, after, "starting_after") + 1 :]
    if before:
        found = found[: _place(world, found, before, "ending_before")]
        data, has_more = found[-limit:], len(found) > limit
    else:
        data, has_more = found[:limit], len(found) > limit
    expand = params.get("expand") or []
    inside = [path.removeprefix("data.") for path in expand if path.startswith("data.")]
    if len(inside) != len(expand):
        raise Refused(f"This property cannot be expanded ({expand[0]}).", param="expand")
    return listed([rendered(world, each, inside) for each in data], url, has_more=has_more)


def _place(world: World, found: list[Obj], object_id: str, param: str) -> int:
    for place, each in enumerate(found):
        if each["id"] == object_id:
            return place
    raise missing(found[0]["object"] if found else "object", object_id, param=param, status=400)


def within(world: World, found: Obj, bounds: Any, field: str = "created") -> bool:
    """`created=5`, or `created[gte]=5&created[lt]=9`."""
    at = found[field]
    if at is None or not isinstance(bounds, dict):
        return bool(at == bounds)
    compare = {"gt": at.__gt__, "gte": at.__ge__, "lt": at.__lt__, "lte": at.__le__}
    return all(compare[name](bound) for name, bound in bounds.items())


def listing(object_type: str, **special: Filter) -> Callable[[World, Obj], Obj]:
    """The handler of `GET /v1/<objects>`. A filter without a function of its own is the field of its name."""

    def answer(world: World, params: Obj) -> Obj:
        found = world.all(object_type)
        for name, wanted in params.items():
            if name in OF_EVERY_LIST:
                continue
            fits = special.get(name) or (within if name == "created" else _same(name))
            found = [each for each in found if fits(world, each, wanted)]
        return page(world, params, found, "/v1/" + URLS.get(object_type, object_type + "s"))

    return answer


def _same(name: str) -> Filter:
    """Equal to what was asked for, one of several, or within bounds."""

    def fits(world: World, found: Obj, wanted: Any) -> bool:
        if isinstance(wanted, dict) and wanted.keys() <= {"gt", "gte", "lt", "lte"}:
            return within(world, found, wanted, name)
        if isinstance(wanted, list):
            return found.get(name.removesuffix("s")) in wanted
        return bool(found.get(name) == wanted)

    return fits


URLS = {"checkout.session": "checkout/sessions", "billing_portal.configuration": "billing_portal/configurations"}


def retrieving(object_type: str) -> Callable[[World, Obj, str], Obj]:
    """The handler of `GET /v1/<objects>/<id>`."""

    def answer(world: World, params: Obj, object_id: str) -> Obj:
        return world.get(object_type, object_id)

    return answer
