"""The load: wrk, with a list of tokens that it sends one after another."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path
from typing import NamedTuple

from bench.registry import CannotRun

# The requests are made before the clock runs, so that the load costs the same for every server.
SCRIPT = """
local requests, next_one = {}, 0
function init(args)
    for token in io.lines(args[1]) do
        requests[#requests + 1] = wrk.format("GET", nil, { ["Authorization"] = "Bearer " .. token })
    end
end
function request()
    next_one = next_one % #requests + 1
    return requests[next_one]
end
"""


class Answered(NamedTuple):
    """What a server did under the load."""

    requests: int
    per_second: float


def load(url: str, tokens: Path, *, connections: int, seconds: int) -> Answered:
    """What the server answered in that time. Anything but 2xx, and any lost connection, is an error."""
    program = shutil.which("wrk")
    if program is None:
        raise CannotRun("wrk is not installed: apt-get install wrk")
    script = tokens.with_suffix(".lua")
    script.write_text(SCRIPT)
    given = [f"-c{connections}", "-t1", f"-d{seconds}s", "-s", str(script), url, "--", str(tokens)]
    done = subprocess.run([program, *given], capture_output=True, text=True, timeout=seconds + 30, check=True)
    return read_answer(done.stdout)


def read_answer(said: str) -> Answered:
    for trouble in ("Non-2xx", "Socket errors"):
        if trouble in said:
            raise RuntimeError(f"wrk met answers that were no answers:\n{said}")
    found = re.search(r"(\d+) requests in .*Requests/sec:\s*([0-9.]+)", said, re.DOTALL)
    if found is None or int(found[1]) == 0:
        raise RuntimeError(f"wrk measured nothing:\n{said}")
    return Answered(int(found[1]), float(found[2]))
