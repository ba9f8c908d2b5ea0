"""What another library's error says becomes part of one line."""

import json

from hypothesis import given
from hypothesis import strategies as st

from grait.errors import reason


@given(st.text())
def test_a_reason_is_one_short_line_and_never_empty(text: str) -> None:
    said = reason(ValueError(text))
    assert said.splitlines() == [said]
    assert 0 < len(said) <= 300


def test_a_reason_is_the_message_the_kind_without_one_and_marked_where_it_is_cut() -> None:
    assert reason(OSError("no\n  such\tdevice")) == "no such device"
    assert reason(KeyError()) == "KeyError"
    assert reason(KeyError("weight_map")) == "KeyError: 'weight_map'"
    assert reason(json.JSONDecodeError("Expecting value", "", 0)).startswith("JSONDecodeError: Expecting value")
    assert reason(ValueError("long " * 100)) == ("long " * 60)[:297] + "..."
