"""The table of methods, from ``grait.methods.catalog``."""

from grait.methods.catalog import METHODS


def markdown() -> str:
    """One row for each method, as ``grait methods`` prints it."""
    rows = [f"| `{row.name}` | {row.summary} | {row.computed} | {row.paper} |" for row in METHODS.values()]
    return "\n".join(["| method | what it does | needs | from |", "| --- | --- | --- | --- |", *rows])
