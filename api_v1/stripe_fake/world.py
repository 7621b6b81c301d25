"""All that the fake knows: its objects, its clock and what it has told of them."""

from __future__ import annotations

import copy
import secrets
import string
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

from api_v1.stripe_fake.errors import missing
from api_v1.stripe_fake.old_shapes import as_before_basil
from api_v1.stripe_fake.rendering import Obj, changes, rendered
from api_v1.stripe_fake.shapes import blank

API_VERSION = "2026-10-28.endive"
OLD_API_VERSION = "2024-06-20"
ACCOUNT = "acct_1FakeAccount0001"
ALPHABET = string.ascii_letters + string.digits


class World:
    """One account of the fake. Whoever reads or changes it holds `lock`."""

    def __init__(self, *, retry_days: tuple[int, ...], when_exhausted: str, old_shapes: bool) -> None:
        self.lock = threading.RLock()
        self.objects: dict[str, Obj] = {}
        self.base_url = ""
        self.retry_days = retry_days
        self.when_exhausted = when_exhausted  # what a subscription becomes: canceled, unpaid or past_due
        self.old_shapes = old_shapes
        self.request: Obj = {"id": None, "idempotency_key": None}
        self.on_event: Callable[[Obj], None] = lambda event: None
        self._stands_at: int | None = None

    # -- the clock ----------------------------------------------------------------------------------------

    def now(self) -> int:
        """The fake's own time: the real one, until it is set. Then it stands still."""
        return int(datetime.now(UTC).timestamp()) if self._stands_at is None else self._stands_at

    def set_clock(self, instant: int | None) -> None:
        self._stands_at = instant

    # -- objects ------------------------------------------------------------------------------------------

    def new_id(self, prefix: str) -> str:
        """As random as Stripe's: two fakes, one after the other on one database, give no id twice."""
        return f"{prefix}_" + "".join(secrets.choice(ALPHABET) for _ in range(24))

    def add(self, object_type: str, prefix: str, **values: Any) -> Obj:
        """A new object, every field of it there; what is not given is empty."""
        made = self.make(object_type, prefix, **values)
        self.objects[made["id"]] = made
        return made

    def make(self, object_type: str, prefix: str, **values: Any) -> Obj:
        """The same, of which the world keeps nothing."""
        made = blank(object_type) | {"id": self.new_id(prefix)}
        if "created" in made:
            made["created"] = self.now()
        return made | values

    def find(self, object_type: str, object_id: str) -> Obj | None:
        found = self.objects.get(object_id)
        return found if found is not None and found["object"] == object_type else None

    def get(self, object_type: str, object_id: str) -> Obj:
        """The object that a path names: 404 when there is none."""
        found = self.find(object_type, object_id)
        if found is None:
            raise missing(object_type, object_id)
        return found

    def named(self, object_type: str, object_id: str, param: str) -> Obj:
        """The object that a parameter names: 400 when there is none, or it is deleted."""
        found = self.find(object_type, object_id)
        if found is None or found.get("deleted"):
            raise missing(object_type, object_id, param=param, status=400)
        return found

    def all(self, object_type: str, **having: Any) -> list[Obj]:
        """Newest first, as Stripe lists."""
        return [
            found
            for found in reversed(list(self.objects.values()))
            if found["object"] == object_type and all(found.get(name) == value for name, value in having.items())
        ]

    def oldest_first(self, object_type: str, **having: Any) -> list[Obj]:
        return self.all(object_type, **having)[::-1]

    @contextmanager
    def undone_if_refused(self) -> Iterator[None]:
        """All of the block is kept, or none of it; events are not told when it fails."""
        whole = {key: each for key, each in self.objects.items() if each["object"] in {"event", "webhook_endpoint"}}
        changing = {key: each for key, each in self.objects.items() if key not in whole}
        copies = copy.deepcopy(changing)
        before = {key: whole.get(key) or copies[key] for key in self.objects}
        told: list[Obj] = []
        tell, self.on_event = self.on_event, told.append
        try:
            yield
        except BaseException:
            self.objects = before
            raise
        finally:
            self.on_event = tell
        for event in told:
            tell(event)

    # -- events -------------------------------------------------------------------------------------------

    def emit(self, event_type: str, about: Obj, before: Obj | None = None) -> Obj:
        """What webhooks tell: the object as it is at this moment, and what an update has changed of it."""
        snapshot = rendered(self, about)
        data: Obj = {"object": as_before_basil(self, snapshot) if self.old_shapes else snapshot}
        if before is not None:
            data["previous_attributes"] = changes(before, snapshot)
        event = self.add(
            "event",
            "evt",
            type=event_type,
            api_version=OLD_API_VERSION if self.old_shapes else API_VERSION,
            data=data,
            request=dict(self.request),
            _undelivered=set(),
        )
        self.on_event(event)
        return event
