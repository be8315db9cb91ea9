"""The store in a test's hands: each of its classes over one database, and the file as it lies."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path
from types import TracebackType

from typing_extensions import Self

from agent.records import Clock
from agent.store.agent_store import AgentStore
from agent.store.console_store import ConsoleStore
from agent.store.database import Database
from agent.store.queries import Queries


class Store:
    """An open store: ``agent`` and ``console`` write to it, ``queries`` reads."""

    def __init__(self, path: Path, clock: Clock) -> None:
        self.path = path
        self.database = Database(path)
        self.agent = AgentStore(self.database, clock)
        self.console = ConsoleStore(self.database, clock)
        self.queries = Queries(self.database)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        self.database.__exit__()

    def sql(self, statement: str, *values: object) -> list[sqlite3.Row]:
        """Read or change the file as a stranger would, who knows SQLite and nothing of ours."""
        with closing(sqlite3.connect(self.path, isolation_level=None)) as db:
            db.row_factory = sqlite3.Row
            return db.execute(statement, values).fetchall()

    def pragma(self, name: str, value: object) -> None:
        """Set something for the open connection alone, such as how large the file may become."""
        self.database.rows(f"PRAGMA {name} = {value}")
