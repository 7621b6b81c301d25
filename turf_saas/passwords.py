"""Passwords as they are stored: scrypt, salted, in the form that werkzeug.security reads and writes too."""

from __future__ import annotations

import hashlib
import hmac
import secrets
import unicodedata

N, R, P = 2**14, 8, 5  # 16 MiB and some 0.15 s; as strong as OWASP's 2**17, 8, 1 with an eighth of the memory
MIN_LENGTH, MAX_LENGTH = 8, 200

# Nobody's password: checked where there is no user, so that an unknown one costs the same work.
NOBODY = f"scrypt:{N}:{R}:{P}$nobodynobodynobo$" + "0" * 128


def hashed(password: str) -> str:
    """The password as it may be stored. A fresh salt each time."""
    salt = secrets.token_hex(8)
    return f"scrypt:{N}:{R}:{P}${salt}${_digest(password, salt, N, R, P)}"


def matches(stored: str, password: str) -> bool:
    """True for the password that was hashed; False for another, or for a text that is not one of ours."""
    try:
        method, salt, digest = stored.split("$")
        name, n, r, p = method.split(":")
        if name != "scrypt":
            return False
        return hmac.compare_digest(_digest(password, salt, int(n), int(r), int(p)), digest)
    except ValueError:
        return False


def _digest(password: str, salt: str, n: int, r: int, p: int) -> str:
    same_however_typed = unicodedata.normalize("NFKC", password).encode("utf-8", "surrogatepass")
    return hashlib.scrypt(same_however_typed, salt=salt.encode(), n=n, r=r, p=p, maxmem=132 * n * r * p).hex()
