"""A function of DuckDB's SQL."""

from __future__ import annotations

from typing import Any

from ._claims import Operation
from ._client import Pseudonymiser


def duckdb_function(con: Any, name: str, client: Pseudonymiser, *, operation: Operation | None = None) -> None:
    """Make name a function of the connection: SELECT name(id) FROM register.

    It takes and returns VARCHAR, whole vectors at a time; NULL stays NULL. What it does is what
    the client's token is for, unless operation says so.
    """
    work = {
        "pseudonymise": client.pseudonymise,
        "reverse": client.reverse,
        "secondary": client.secondary,
    }[operation or client._transport.claims.operation or "pseudonymise"]

    def vector(values: Any) -> Any:
        return work(values)

    con.create_function(
        name,
        vector,
        ["VARCHAR"],
        "VARCHAR",
        type="arrow",
        null_handling="special",
        side_effects=not client.deterministic,
    )
