"""Text of data and configs inside Markdown: it is shown, and does nothing."""

import re


def escaped(text: str) -> str:
    """One line that shows the text as it is: every mark that means something to Markdown or HTML is escaped."""
    printable = "".join(character if character.isprintable() else " " for character in text)
    return re.sub(r"([!#$&()*+\-./:<=>@\[\\\]^_`{|}~])", r"\\\1", " ".join(printable.split()))


def fenced(text: str, language: str = "") -> str:
    """A code block, with a fence longer than any in the text."""
    longest = max((len(run) for run in re.findall("`+", text)), default=0)
    fence = "`" * max(3, longest + 1)
    return f"{fence}{language}\n{text}\n{fence}"


def table(columns: list[str], rows: list[list[str]]) -> str:
    """A table with its first column on the left; cells are Markdown, in which a bar is escaped already."""
    lines = [columns, ["---", *["---:"] * (len(columns) - 1)], *rows]
    return "\n".join("| " + " | ".join(cells) + " |" for cells in lines)
