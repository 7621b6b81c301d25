"""What is sent and answered about tenants, users, logins and API keys."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import AfterValidator, Field, model_validator
from pydantic_core import PydanticCustomError

from api_v1.schemas import Input, Output, Text, UserIdIn
from turf_saas import accounts, api_keys, passwords, tenants
from turf_saas.users import Role
from turf_saas.values import UserId


def _an_email(text: str) -> str:
    cleaned = accounts.clean_email(text)
    if cleaned is None:
        raise PydanticCustomError("email_invalid", "email_invalid", {"fault": True})
    return cleaned


Email = Annotated[
    str,
    Field(min_length=3, max_length=accounts.MAX_EMAIL, json_schema_extra={"format": "email"}),
    AfterValidator(_an_email),
]
Password = Annotated[str, Field(min_length=passwords.MIN_LENGTH, max_length=passwords.MAX_LENGTH)]
Name = Annotated[Text, Field(min_length=1, max_length=tenants.MAX_NAME)]
Scope = Literal["billing.read", "billing.write", "usage:write"]


class LoginIn(Input):
    email: Annotated[Text, Field(min_length=1, max_length=accounts.MAX_EMAIL)]
    password: Annotated[str, Field(min_length=1, max_length=1000)]


class LoginOut(Output):
    access_token: str
    token_type: Literal["Bearer"] = "Bearer"  # noqa: S105  not a secret
    expires_in: int | None = Field(description="Seconds; null: the host's tokens do not end")
    user_id: UserId
    tenant_id: int = Field(description="For the client's use: the database decides at each request")
    role: Role = Field(description="For the client's use: the database decides at each request")


class UserIn(Input):
    """A user of the caller's own tenant."""

    email: Email
    password: Password
    name: Name | None = None


class TenantUserIn(UserIn):
    role: Role = "user"


class UserOut(Output):
    id: UserId = Field(description="The same as user_id")
    user_id: UserId
    tenant_id: int
    email: str
    name: str | None
    role: Role


class TenantIn(Input):
    name: Name
    admin_email: Email | None = Field(default=None, description="With admin_password: the tenant's first admin")
    admin_password: Password | None = None

    @model_validator(mode="after")
    def _both_or_neither(self) -> Self:
        if (self.admin_email is None) != (self.admin_password is None):
            raise PydanticCustomError("admin_incomplete", "admin_incomplete", {"fault": True})
        return self


class TenantOut(Output):
    id: int
    name: str
    created_at: str
    admin_user_id: UserId | None


class KeyIn(Input):
    name: Annotated[Text, Field(min_length=1, max_length=api_keys.MAX_NAME)]
    scopes: Annotated[list[Scope], Field(min_length=1, max_length=len(api_keys.SCOPES))]
    user_id: UserIdIn | None = Field(default=None, description="Whom the key acts for; another than oneself: admin")


class Key(Output):
    id: str
    user_id: UserId
    name: str
    scopes: list[Scope]
    created_at: str
    last_used_at: str | None = Field(description="To the hour")
    revoked_at: str | None


class NewKey(Key):
    key: str = Field(description="What the program sends, as `Authorization: Bearer …`. Shown this once")


class Keys(Output):
    items: list[Key]
    next_cursor: str | None


class CsrfToken(Output):
    csrf_token: str = Field(description="For the header X-CSRF-Token")
    expires_in: int = Field(description="Seconds")
