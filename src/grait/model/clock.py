"""Chat templates that tell the date: Llama 3.2's, SmolLM3's, Granite's and others call ``strftime_now``."""

from datetime import datetime

_DIRECTIVES = (*"aAwdbBmyYHIpMSfzZjUWcxXGuVDFTRe", *(f"-{letter}" for letter in "dmyHIMSj"))


def tells_time(template: str) -> bool:
    """Whether a chat template looks at the clock."""
    return "strftime_now" in template


def at_moment(template: str, moment: datetime) -> str:
    """The template with a macro in the place of its clock, which tells this moment. transformers hands no function on
    to a template."""
    told = "".join(f"|replace('%{letter}', {moment.strftime(f'%{letter}')!r})" for letter in _DIRECTIVES)
    return "{% macro strftime_now(form) %}{{ form" + told + "|replace('%%', '%') }}{% endmacro %}{{ '' }}" + template
