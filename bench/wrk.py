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


# Users and keys are random, so no event lies beside the one before. Making them is part of the load: wrk runs on the
# same machine, to the server's disadvantage.
REPORTS = """
local token, users, batch, path
local function event()
    return string.format('{"metric":"tokens","quantity":1,"user_id":%d,"idempotency_key":"%08x%08x%08x%08x"}',
        math.random(users), math.random(0, 2^31 - 1), math.random(0, 2^31 - 1), math.random(0, 2^31 - 1),
        math.random(0, 2^31 - 1))
end
function init(args)
    token, users, batch = args[1], tonumber(args[2]), tonumber(args[3])
    math.randomseed(tonumber(args[4]))
end
function request()
    local body = {}
    for number = 1, batch do body[number] = event() end
    local sent = body[1]
    if batch > 1 then sent = '{"events":[' .. table.concat(body, ",") .. "]}" end
    return wrk.format("POST", nil,
        { ["Authorization"] = "Bearer " .. token, ["Content-Type"] = "application/json" }, sent)
end
"""
PATIENCE_SECONDS = 30


class Answered(NamedTuple):
    """What a server did under the load. refused: the answers among them that were not 2xx."""

    requests: int
    per_second: float
    refused: int = 0


def load(url: str, tokens: Path, *, connections: int, seconds: int) -> Answered:
    """What the server answered in that time. Anything but 2xx, and any lost connection, is an error."""
    script = tokens.with_suffix(".lua")
    script.write_text(SCRIPT)
    return read_answer(_run(script, url, connections, seconds, str(tokens)))


def report(
    url: str, token: str, folder: Path, *, users: int, batch: int, seed: int, connections: int, seconds: int
) -> Answered:
    """Events posted one by one or in batches, with keys that no other seed makes. Refusals are counted, not hidden."""
    script = folder / "reports.lua"
    script.write_text(REPORTS)
    given = (token, str(users), str(batch), str(seed))
    return read_answer(_run(script, url, connections, seconds, *given), refusals=True)


def _run(script: Path, url: str, connections: int, seconds: int, *given: str) -> str:
    program = shutil.which("wrk")
    if program is None:
        raise CannotRun("wrk is not installed: apt-get install wrk")
    load = [f"-c{connections}", "-t1", f"-d{seconds}s", f"--timeout={PATIENCE_SECONDS}s", "-s", str(script), url]
    done = subprocess.run(
        [program, *load, "--", *given], capture_output=True, text=True, timeout=seconds + 30, check=True
    )
    return done.stdout


def read_answer(said: str, *, refusals: bool = False) -> Answered:
    refused = re.search(r"Non-2xx or 3xx responses: (\d+)", said) if refusals else None
    for trouble in ("Non-2xx", "Socket errors"):
        if trouble in said and not (refused and trouble == "Non-2xx"):
            raise RuntimeError(f"wrk met answers that were no answers:\n{said}")
    found = re.search(r"(\d+) requests in .*Requests/sec:\s*([0-9.]+)", said, re.DOTALL)
    if found is None or int(found[1]) == 0:
        raise RuntimeError(f"wrk measured nothing:\n{said}")
    return Answered(int(found[1]), float(found[2]), int(refused[1]) if refused else 0)
