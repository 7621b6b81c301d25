"""What every command has: its options, how it refuses, how it answers."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from functools import wraps
from typing import Any, TypeVar

import click

from api_v1.runtime import Runtime, current_runtime
from billing_db import DatabaseError
from turf_saas import accounts
from turf_saas.errors import BillingError
from turf_saas.gateways import MAX_DETAIL, STRIPE_ADDRESS, GatewayDown, GatewayFailed
from turf_saas.messages import say
from turf_saas.usage_check import Progress, silent
from turf_saas.users import User
from turf_saas.values import plain

Command = TypeVar("Command", bound=Callable[..., Any])

as_json = click.option("--json", "as_json", is_flag=True, help="Answer as one JSON document.")
dry_run = click.option("--dry-run", is_flag=True, help="Say what would be done, and do nothing.")


def in_one_sentence(command: Command) -> Command:
    """A refusal is one sentence on stderr and exit code 1."""

    @wraps(command)
    def run(*args: Any, **kwargs: Any) -> Any:
        try:
            return command(*args, **kwargs)
        except GatewayFailed as failed:
            raise click.ClickException(_why(failed)) from None
        except BillingError as error:
            raise click.ClickException(say(error.sentence, current_runtime().settings.locale, **error.params)) from None
        except DatabaseError as error:
            raise click.ClickException(str(error)) from None

    return run  # type: ignore[return-value]


def _why(failed: GatewayFailed) -> str:
    """Who types commands runs the app: he is told in the gateway's own words, and who was asked."""
    settings = current_runtime().settings
    return say(
        "gateway_does_not_answer" if isinstance(failed, GatewayDown) else "gateway_says_no",
        settings.locale,
        address=settings.stripe_api_base or STRIPE_ADDRESS,
        why=plain(failed, most=MAX_DETAIL),
    )


def show(answer: Any, as_json: bool, lines: Iterable[str]) -> None:
    """The answer on stdout: one JSON document for a program, the lines for a person."""
    for line in [json.dumps(answer, ensure_ascii=False)] if as_json else lines:
        click.echo(line)


def get_user(runtime: Runtime, named: str) -> User:
    """The user whom the command line names, by id or e-mail."""
    return accounts.get_user_named(runtime.db(), runtime.users, named)


@contextmanager
def progress_bar(label: str) -> Iterator[Progress]:
    """A bar on stderr, where that is a terminal."""
    if not sys.stderr.isatty():
        yield silent
        return
    shown = -1

    def tell(done: int, of: int) -> None:
        nonlocal shown
        percent = done * 100 // of
        if percent != shown:
            shown = percent
            click.echo(f"\r{label} [{'#' * (percent // 4):<25}] {percent:3} %", nl=False, err=True)

    try:
        yield tell
    finally:
        if shown >= 0:
            click.echo(err=True)
