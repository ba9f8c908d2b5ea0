"""A judge of a user's own, as ``judge.python`` names one, for a tiny model whose samples say nothing."""

from grait.records import Outcome, Question


def by_first_letter(output: str, question: Question) -> Outcome:
    """A reference is right; what else there is counts as refused or wrong."""
    if output in question.answers:
        return "correct"
    return "refused" if len(output) > 0 and ord(output[0]) % 2 else "wrong"
