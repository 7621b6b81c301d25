"""Webhook endpoints."""

from __future__ import annotations

from api_v1.stripe_fake.changing import metadata, set_fields
from api_v1.stripe_fake.errors import Refused
from api_v1.stripe_fake.lists import page
from api_v1.stripe_fake.rendering import Obj
from api_v1.stripe_fake.world import World


def create(world: World, params: Obj, secret: str | None = None) -> Obj:
    """The secret is in this answer only."""
    if not params["url"].startswith(("http://", "https://")):
        raise Refused(
            "Invalid URL: An explicit scheme (such as https) must be provided.", code="url_invalid", param="url"
        )
    endpoint = world.add(
        "webhook_endpoint",
        "we",
        url=params["url"],
        enabled_events=params["enabled_events"],
        metadata=metadata(params),
        status="enabled",
        secret=secret or world.new_id("whsec"),
    )
    set_fields(endpoint, params, {"description", "api_version"})
    return endpoint


def shown(endpoint: Obj) -> Obj:
    return {name: value for name, value in endpoint.items() if name != "secret"}


def retrieve(world: World, params: Obj, endpoint_id: str) -> Obj:
    return shown(world.get("webhook_endpoint", endpoint_id))


def update(world: World, params: Obj, endpoint_id: str) -> Obj:
    endpoint = world.get("webhook_endpoint", endpoint_id)
    set_fields(endpoint, params, {"url", "enabled_events", "description", "metadata"})
    if "disabled" in params:
        endpoint["status"] = "disabled" if params["disabled"] else "enabled"
    return shown(endpoint)


def delete(world: World, params: Obj, endpoint_id: str) -> Obj:
    del world.objects[world.get("webhook_endpoint", endpoint_id)["id"]]
    return {"id": endpoint_id, "object": "webhook_endpoint", "deleted": True}


def list_all(world: World, params: Obj) -> Obj:
    return page(world, params, [shown(each) for each in world.all("webhook_endpoint")], "/v1/webhook_endpoints")
