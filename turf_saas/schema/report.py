"""What a migration did, or would do."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from turf_saas.users import UsersTable


@dataclass
class AdoptedTable:
    """One table of the reference: rows = kept + merged + rejected."""

    rows: int = 0
    kept: int = 0
    merged: int = 0  # rows added to another one of the same user, day and endpoint
    rejected: int = 0  # set apart in billing_rejects
    reasons: Counter[str] = field(default_factory=Counter)  # why rejected
    changes: Counter[str] = field(default_factory=Counter)  # kept, but not as they were: also in billing_rejects

    @property
    def sentence(self) -> str:
        parts = [f"{self.rows} rows, {self.kept} kept"]
        if self.merged:
            parts.append(f"{self.merged} merged into others")
        if self.rejected:
            parts.append(f"{self.rejected} set apart in billing_rejects ({_counted(self.reasons)})")
        if self.changes:
            parts.append(f"changed: {_counted(self.changes)}")
        return ", ".join(parts) + "."


def _counted(reasons: Counter[str]) -> str:
    return "; ".join(f"{reason}: {count}" for reason, count in sorted(reasons.items()))


@dataclass
class MigrationReport:
    """`applied` names the migrations; the rest is said by the first one, where it found something to say it of."""

    applied: list[str] = field(default_factory=list)
    users: UsersTable | None = None
    adopted: dict[str, AdoptedTable] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    @property
    def sentences(self) -> list[str]:
        if not self.applied:
            return ["The database is up to date."]
        said = [f"Migrations: {', '.join(self.applied)}."]
        if self.users is not None:
            whose = "a small table of billing's own" if self.users.ours else "the host's table"
            said.append(f"Users: {whose}, {self.users.table}.{self.users.id}, {self.users.key} keys.")
        said += [f"{name}: {table.sentence}" for name, table in self.adopted.items()]
        return said + self.notes
