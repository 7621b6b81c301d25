"""`python -m bench`: measure, print a table of ratios, and say by the exit code whether all that is required holds."""

from __future__ import annotations

import argparse
import json
import shutil
import signal
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import NoReturn

from bench import report
from bench.registry import Bench, CannotRun, Row, Setup, Size, load_all

DEADLINE_SECONDS = {"full": 1800, "quick": 600, "tiny": 300}
NEEDED_BYTES = {"full": 4 * 1024**3, "quick": 500 * 1024**2, "tiny": 50 * 1024**2}


def main(arguments: list[str] | None = None) -> int:
    """0: all that is required holds; 1: something falls short; 2: something could not be measured."""
    benches = load_all()
    given = _parser(list(benches)).parse_args(arguments)
    size: Size = "tiny" if given.tiny else "quick" if given.quick else "full"
    chosen = [benches[name] for name in given.only or benches]
    with _bounded(DEADLINE_SECONDS[size]):
        rows, not_run = _run(chosen, size, given.postgresql)
    if given.json:
        print(json.dumps(report.as_json(rows, not_run), ensure_ascii=False, indent=1))
    else:
        print(f"\n{report.table(rows)}\n\n{report.machine()}")
    return 2 if not_run else 1 if any(row.ok is False for row in rows) else 0


def _parser(names: list[str]) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("--only", action="append", choices=names, metavar="NAME", help="one of: " + ", ".join(names))
    sizes = parser.add_mutually_exclusive_group()
    sizes.add_argument("--quick", action="store_true", help="smaller tables and fewer rounds: a few minutes")
    sizes.add_argument("--tiny", action="store_true", help="only proves that everything runs: the figures mean nothing")
    parser.add_argument("--postgresql", action="store_true", help="also on a private PostgreSQL, where there is one")
    parser.add_argument("--json", action="store_true", help="JSON on the standard output")
    return parser


def _run(benches: list[Bench], size: Size, postgresql: bool) -> tuple[list[Row], dict[str, str]]:
    rows: list[Row] = []
    not_run: dict[str, str] = {}
    for bench in benches:
        print(f"{bench.name}: {bench.summary}", file=sys.stderr)
        with tempfile.TemporaryDirectory(prefix="billing-bench-") as folder:
            try:
                if shutil.disk_usage(folder).free < NEEDED_BYTES[size]:
                    raise CannotRun(f"{folder} has too little room: {NEEDED_BYTES[size] >> 20} MB are needed")
                for row in bench.measure(Setup(Path(folder), size, postgresql)):
                    print(f"  {row.what} / {row.compared_with}: {row.ratio.median:.2f}", file=sys.stderr)
                    rows.append(row)
            except CannotRun as reason:
                print(f"  not measured: {reason}", file=sys.stderr)
                not_run[bench.name] = str(reason)
    return rows, not_run


@contextmanager
def _bounded(seconds: int) -> Iterator[None]:
    """A signal or a run that never ends leaves through the with blocks, so that no server and no file stays behind."""
    before = {number: signal.signal(number, _leave) for number in (signal.SIGTERM, signal.SIGALRM)}
    signal.alarm(seconds)
    try:
        yield
    finally:
        signal.alarm(0)
        for number, handler in before.items():
            signal.signal(number, handler)


def _leave(number: int, _frame: FrameType | None) -> NoReturn:
    raise SystemExit(f"bench: stopped by {signal.Signals(number).name}")


if __name__ == "__main__":
    raise SystemExit(main())
