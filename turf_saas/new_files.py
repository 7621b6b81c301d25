"""A new file gets its name when all of it is on the disk: killed at any moment, no half of one has that name."""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from turf_saas.errors import Conflict, InvalidInput


def absolute(file: Path) -> Path:
    """The name as given, links not followed."""
    return Path(os.path.abspath(file))  # noqa: PTH100


@contextmanager
def unnamed(file: Path) -> Iterator[Path]:
    """A new file beside it, its owner's alone, which is gone afterwards if it got no name."""
    if os.path.lexists(file):
        raise Conflict("file_exists", file=str(file))
    temporary = file.with_name(f".{file.name}.{secrets.token_hex(4)}.part")
    try:
        os.close(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
        try:
            yield temporary
        finally:
            temporary.unlink(missing_ok=True)
    except OSError as error:
        raise InvalidInput("file_unusable", file=str(file), reason=error.strerror or str(error)) from None


def give_name(temporary: Path, file: Path) -> None:
    """As a second name, because a rename would put it in the place of what is there."""
    try:
        os.link(temporary, file)
    except FileExistsError:
        raise Conflict("file_exists", file=str(file)) from None
    folder = os.open(file.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    except OSError:
        file.unlink()
        raise
    finally:
        os.close(folder)
