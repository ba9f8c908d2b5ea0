"""Is a free-text answer right? By what the question asks for: words, a number, a date or a list."""

from grait.judging.dates import holds_date, is_right_date, read_date
from grait.judging.items import holds_items, is_right_list, items_of
from grait.judging.matching import contains_answer, is_correct
from grait.judging.numbers import holds_number, is_right_number, read_number, read_tolerance
from grait.records import Question


def is_right(output: str, question: Question) -> bool:
    """Whether a free-text output gives what the references ask for, by ``question.match``; refusals are not looked at.
    Words as of ``matching.is_correct``, the others as of ``numbers``, ``dates`` and ``items``."""
    if question.match == "number":
        return is_right_number(output, question.answers, question.question, question.tolerance)
    if question.match == "date":
        return is_right_date(output, question.answers, question.question)
    if question.match == "list":
        return is_right_list(output, question.answers)
    return is_correct(output, question)


def holds_answer(question: Question) -> bool:
    """Whether a reference stands in one of the passages, by ``question.match``: of a list all items, in any of them."""
    match, answers = "normalized" if question.choices else question.match, question.answers
    if match == "list":
        return len(answers) > 1 and holds_items("\n".join(question.context), answers)
    if match == "number":
        return any(holds_number(text, answers, question.tolerance) for text in question.context)
    if match == "date":
        return any(holds_date(text, answers) for text in question.context)
    return any(contains_answer(text, answer) for answer in answers for text in question.context)


def why_not_asked(question: Question) -> str | None:
    """Why no output could be judged by ``question.match``, and what to do; None where it can."""
    if question.tolerance is not None:
        if question.match != "number":
            return "`tolerance` is for `match` number; leave it out, or set `match`"
        if read_tolerance(question.tolerance) is None:
            return f"`tolerance` is {question.tolerance!r}; expected a number such as 0.5, or a share such as 1%"
    if question.match == "number":
        odd = next((answer for answer in question.answers if read_number(answer) is None), None)
        return odd and f"`match` is number, and the reference {odd!r} is not one number; write one such as 8,849 m"
    if question.match == "date":
        odd = next((answer for answer in question.answers if read_date(answer) is None), None)
        return odd and f"`match` is date, and the reference {odd!r} is not one date; write it as 1969-07-20 or 1969"
    if question.match == "list" and question.answers and len(items_of(question.answers)) < 2:
        return "`match` is list, and there is one item; give several as a list of texts, or leave `match` out"
    return None
