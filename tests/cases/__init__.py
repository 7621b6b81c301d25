"""Numbers of other billing systems' tests and documents, each worked out again with exact fractions.

README.md beside this says which are left out, and why. Amounts are written in this project's words.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any


def cases(name: str) -> list[dict[str, Any]]:
    """The cases of a file, each with its `id`, `source`, `inputs` and `expected`."""
    return list(json.loads((Path(__file__).parent / f"{name}.json").read_text(encoding="utf-8")))
