"""What is sent and answered about who is billed."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from api_v1.schemas import Input, Output, UserIdIn
from turf_saas import buyer
from turf_saas.accounts import MAX_EMAIL
from turf_saas.buyer import MAX_ADDRESS, MAX_CITY, MAX_NAME, MAX_NUMBER, MAX_ZIP, Kind
from turf_saas.checks import invalid

# These say what a profile looks like, and turf_saas/buyer.py finds all that is wrong with one.
Name = Annotated[str, Field(min_length=1, max_length=MAX_NAME)]
Address = Annotated[str, Field(min_length=1, max_length=MAX_ADDRESS)]
Zip = Annotated[str, Field(min_length=1, max_length=MAX_ZIP)]
City = Annotated[str, Field(min_length=1, max_length=MAX_CITY)]
Country = Annotated[str, Field(pattern="^[A-Z]{2}$")]
Number = Annotated[str, Field(min_length=1, max_length=MAX_NUMBER)]
Email = Annotated[str, Field(min_length=1, max_length=MAX_EMAIL)]
Language = Literal["fr", "en"]


class ProfileQuery(Input):
    user_id: UserIdIn | None = Field(default=None, description="Whose; another than oneself: admin")


class ProfileIn(Input):
    """The whole of it: what is left out, or null, is not known any more. Each text is one line."""

    kind: Kind = Field(description="A professional needs name, address, city and country")
    name: Name | None = None
    address: Address | None = None
    zip: Zip | None = None
    city: City | None = None
    country: Country | None = Field(default=None, description="ISO 3166-1, such as FR; null: the seller's")
    siren: Number | None = Field(default=None, description="Of a professional in France", examples=["303265045"])
    vat_id: Number | None = Field(
        default=None, description="A professional's, with its country", examples=["FR40303265045"]
    )
    email: Email | None = Field(default=None, description="Where invoices go; it is no login")
    locale: Language | None = Field(default=None, description="In which language; null: the seller's")

    @model_validator(mode="before")
    @classmethod
    def _without_fault(cls, given: Any) -> Any:
        faults = buyer.faults_of(given)
        if faults:
            raise invalid(faults)
        return given


class ProfileOut(Output):
    kind: Kind
    name: str | None
    address: str | None
    zip: str | None
    city: str | None
    country: str = Field(description="The seller's where nothing was said")
    siren: str | None
    vat_id: str | None
    email: str | None
    locale: str | None
