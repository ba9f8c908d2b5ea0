"""The table of methods, from ``grait.methods.catalog``."""

from grait.methods.catalog import METHODS


def markdown() -> str:
    """One row for each method, as ``grait methods`` prints it."""
    rows = [
        f"| `{row.name}` | {row.summary} | {_needs(row.needs_flow, row.needs_influence)} | {row.paper} |"
        for row in METHODS.values()
    ]
    return "\n".join(["| method | what it does | needs | from |", "| --- | --- | --- | --- |", *rows])


def _needs(flow: bool, influence: bool) -> str:
    return ", ".join(name for name, needed in (("flow", flow), ("influence", influence)) if needed)
