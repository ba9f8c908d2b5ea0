"""The conversation of ``grait chat``: what the model is given, what streams, what is left out when it grows long."""

import io
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from conftest import Call
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from rich.console import Console
from tiny_dial import a_dial, save_dial
from tiny_folder import POSITIONS, save_tiny, tiny_tree, write_half_known

import grait
from grait.chat.conversation import Speaker, Turn
from grait.chat.reply import printable
from grait.chat.terminal import Chat
from grait.commands.finished import LiveRun, live
from grait.dial.answers import Reply
from grait.errors import ModelError
from grait.model.answers import BothAnswers

N_TOKENS = 12


@pytest.fixture(scope="module")
def model(finished: Path) -> Iterator[LiveRun]:
    with live(finished) as running:
        yield running


def speaker_of(model: LiveRun, system: str | None = None, n_tokens: int = N_TOKENS) -> Speaker:
    return Speaker(model, system, n_tokens)


WORDS = st.text(st.sampled_from("abc \n<>|éß中"), min_size=1, max_size=12)
TURNS = st.lists(st.tuples(WORDS, WORDS), max_size=3)


def messages_of(turns: list[Turn], message: str, system: str | None) -> list[dict[str, str]]:
    said = [(role, text) for turn in turns for role, text in zip(("user", "assistant"), turn, strict=True)]
    rows = [*([("system", system)] if system is not None else []), *said, ("user", message)]
    return [{"role": role, "content": text} for role, text in rows]


@given(TURNS, WORDS, st.none() | WORDS)
@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_the_history_reaches_the_model_word_for_word(
    model: LiveRun, turns: list[Turn], message: str, system: str | None
) -> None:
    fitted = speaker_of(model, system).fit(turns, message)
    text = model.tokenizer.apply_chat_template(
        messages_of(turns, message, system), tokenize=False, add_generation_prompt=True
    )
    assert fitted.n_dropped == 0
    assert list(fitted.token_ids) == model.tokenizer(text, add_special_tokens=False)["input_ids"]
    assert model.tokenizer.decode(fitted.token_ids) == text


def greedy(model: LiveRun, messages: list[dict[str, str]], n_tokens: int = N_TOKENS) -> str:
    """By ``generate``, as anyone would call it."""
    inputs = model.tokenizer.apply_chat_template(
        messages, add_generation_prompt=True, return_dict=True, return_tensors="pt"
    )
    with torch.no_grad():
        (found,) = model.model.generate(
            **inputs, max_new_tokens=n_tokens, do_sample=False, eos_token_id=model.chat_ends, pad_token_id=0
        )
    return str(model.tokenizer.decode(found[inputs["input_ids"].shape[1] :], skip_special_tokens=True))


@given(TURNS, WORDS)
@settings(max_examples=10, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_what_streams_is_what_generate_gives_greedily(model: LiveRun, turns: list[Turn], message: str) -> None:
    speaker = speaker_of(model)
    fitted = speaker.fit(turns, message)
    expected = greedy(model, messages_of(turns, message, None))
    answer = speaker.answer(fitted)
    assert "".join(answer) == expected == answer.text
    with model.model.disable_adapter():
        of_initial = greedy(model, messages_of(turns, message, None))
    assert "".join(speaker.answer(fitted, by_initial=True)) == of_initial


def test_it_comes_in_pieces_and_says_whether_it_was_cut(model: LiveRun) -> None:
    speaker = speaker_of(model, n_tokens=60)
    answers = [speaker.answer(speaker.fit([], f"Tell me about {n}")) for n in range(6)]
    pieces = [list(answer) for answer in answers]
    assert max(map(len, pieces)) > 3
    for answer in answers:
        n_tokens = len(model.tokenizer(answer.text, add_special_tokens=False)["input_ids"])
        assert answer.was_cut or n_tokens <= 60


def test_whoever_stops_listening_stops_the_model(model: LiveRun) -> None:
    speaker = speaker_of(model, n_tokens=250)
    fitted = speaker.fit([], "Hello")
    pieces = iter(speaker.answer(fitted).pieces)
    next(pieces)
    pieces.close()  # type: ignore[attr-defined]
    assert model.alone.acquire(timeout=0)
    model.alone.release()


def test_an_error_of_the_model_is_one_line(model: LiveRun, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(*_: Any, **__: Any) -> Any:
        raise RuntimeError("out of\nmemory")

    speaker = speaker_of(model)
    fitted = speaker.fit([], "Hello")
    monkeypatch.setattr(model.model, "generate", fails)
    with pytest.raises(ModelError, match="the model could not answer: out of memory"):
        list(speaker.answer(fitted))


def test_the_oldest_turns_are_dropped_and_no_more_than_needed(model: LiveRun) -> None:
    speaker = speaker_of(model, "Be brief.")
    turns = [(f"message {n} " * 4, f"answer {n} " * 4) for n in range(12)]
    fitted = speaker.fit(turns, "And now?")
    assert 0 < fitted.n_dropped < len(turns)
    assert len(fitted.token_ids) + N_TOKENS <= POSITIONS
    assert fitted.token_ids == speaker.fit(turns[fitted.n_dropped :], "And now?").token_ids
    one_more = model.tokenizer.apply_chat_template(
        messages_of(turns[fitted.n_dropped - 1 :], "And now?", "Be brief."),
        add_generation_prompt=True,
        return_dict=True,
    )
    assert len(one_more["input_ids"]) + N_TOKENS > POSITIONS


def test_a_message_that_fills_the_context_has_a_short_answer_or_none(model: LiveRun) -> None:
    speaker = speaker_of(model)
    words = next(n for n in range(1, 400) if len(speaker.fit([], "a " * n).token_ids) > POSITIONS - N_TOKENS)
    fitted = speaker.fit([("before", "that")], "a " * words)
    assert (fitted.n_dropped, fitted.n_answer) == (1, POSITIONS - len(fitted.token_ids)) and 0 < fitted.n_answer < 12
    answer = speaker.answer(fitted)
    assert isinstance("".join(answer), str)
    with pytest.raises(ModelError, match=r"tokens with what the chat template adds, and the model attends to 320"):
        speaker.fit([], "a " * 400)


def test_a_template_that_takes_no_system_message_is_found_at_once(
    model: LiveRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    refusing = "{% if messages[0]['role'] == 'system' %}{{ raise_exception('no system role') }}{% endif %}"
    refusing += "{% for message in messages %}{{ message['content'] }}{% endfor %}"
    monkeypatch.setattr(model.tokenizer, "chat_template", refusing)
    speaker_of(model)
    with pytest.raises(ModelError, match="the chat template refuses the prompt: no system role"):
        speaker_of(model, "Be brief.")


# -- in the terminal -----------------------------------------------------------------------------------------------


REPLY = Reply("Why?", "initially", BothAnswers("free", "suppressed", -0.2, -1.2, 2.0))


def talked(model: LiveRun, lines: list[str], **options: Any) -> tuple[str, Chat]:
    console = Console(file=io.StringIO(), width=100, force_terminal=False)
    common = {"method": "grait", "refusal": "No.", "score": "first-token", "threshold": 0.3, "echoes": True}
    chat = Chat(console, lambda _: REPLY, speaker_of(model), **(common | options))
    chat.talk(lines)
    return str(console.file.getvalue()), chat  # type: ignore[attr-defined]


def test_the_second_message_is_answered_with_the_first_in_mind(model: LiveRun) -> None:
    out, chat = talked(model, ["Hello there", "", "And you?"])
    first = greedy(model, messages_of([], "Hello there", None))
    second = greedy(model, messages_of([("Hello there", first)], "And you?", None))
    assert chat.turns == [("Hello there", first), ("And you?", second)]
    assert second != greedy(model, messages_of([], "And you?", None))
    assert out.count("you> ") == out.count("grait> ") == 2 and "initial>" not in out
    assert out.index("you> Hello there") < out.index("grait> ") < out.index("you> And you?")


def test_new_begins_anew_and_initial_toggles(model: LiveRun) -> None:
    out, chat = talked(model, ["Hello there", "/new", "/initial", "And you?", "/initial", "Well"])
    alone = greedy(model, messages_of([], "And you?", None))
    assert chat.turns[0] == ("And you?", alone) and len(chat.turns) == 2
    assert out.count("initial> ") == 1 and out.index("initial> ") > out.index("you> And you?")
    compared, _ = talked(model, ["And you?"], shows_initial=True)
    with model.model.disable_adapter():
        expected = greedy(model, messages_of([], "And you?", None))
    assert printable(expected) in compared and printable(alone) in compared and expected != alone


def test_the_dial_of_the_trained_form_is_not_applied_to_the_conversation(model: LiveRun) -> None:
    """At threshold 0 every question in the trained form is refused."""
    said, chat = talked(model, ["Hello there", "/threshold 0", "Hello there"], threshold=0.0)
    assert "refusal score" not in said and "dial at" not in said and "No." not in said
    assert "in the conversation the dial stays as calibrated" in said
    assert chat.turns[0][1] == greedy(model, messages_of([], "Hello there", None))
    asked, chat = talked(model, ["/question Why?", "/threshold 1", "Hello there", "/threshold 0"])
    assert asked.count("initially") == 2 and "is above the threshold 0.3: refused" in asked
    assert "not above the threshold 1: answered" in asked and len(chat.turns) == 1


def test_what_is_dropped_is_said_once(model: LiveRun) -> None:
    out, chat = talked(model, ["word " * 40, "word " * 40, "word " * 40, "a " * 400, "Hi"])
    assert out.count("the oldest turn is left out") == 2
    assert out.count("error: the message has") == 1 and len(chat.turns) >= 1


def test_the_command_talks_and_says_what_the_dial_is_for(finished: Path, tmp_path: Path, command: Call) -> None:
    shutil.copytree(finished, tmp_path / "run")
    save_dial(tmp_path / "run" / "adapters" / "grait", a_dial("a.jsonl"))
    arguments = ("chat", tmp_path / "run", "--max-new-tokens", "5", "--system", "Be kind.", "--compare")
    code, out, err = command(*arguments, stdin="Hello\n/help\n/quit\nnot asked\n")
    assert code == 0 and "you> Hello\n" in out and "initial> " in out and "/question TEXT" in out
    assert "not asked" not in out and "refusal score 0" not in out
    assert err.count("The refusal dial is set for the form instruction, not for a bare question in a chat") == 1
    code, out, err = command("chat", finished, "--form", "free")
    assert (code, out) == (2, "") and "error: --form free: expected chat or trained" in err
    code, out, err = command("chat", finished, "--form", "trained", "--system", "x")
    assert (code, out) == (2, "") and "error: --system goes with --form chat" in err


def test_a_model_without_a_chat_template_is_asked_in_the_trained_form(tmp_path: Path, command: Call) -> None:
    name = save_tiny(tmp_path / "model", chat=False)
    tree = tiny_tree(name, write_half_known(name, tmp_path), tmp_path / "run")
    tree["training"]["methods"] = ["r-tuning"]
    grait.run(tree)
    code, out, err = command("chat", tmp_path / "run", stdin="Who wrote it?\n")
    assert code == 0 and "initial model" in out and err.count("has no chat template: every line is one question") == 1
    code, _, err = command("chat", tmp_path / "run", "--system", "x", stdin="Who wrote it?\n")
    assert code == 2 and "has no chat template; ask it with --form trained" in err.splitlines()[-1]


LINES = [
    b"Wer \xff\xfe?", b"\x80", b"Stra\xdfe in Lyon?", b"caf\xe9", b"\xc3", b"\xed\xa0\x80 half a pair", b"a\x00b\xfe",
    b"\xf8\x88\x80\x80\x80", b"\xe4\xb8 cut", b"/question Wer \xff?", b"/threshold \xff",
]  # fmt: skip


@pytest.mark.parametrize("line", LINES)
@pytest.mark.parametrize("form", ["chat", "trained"])
def test_bytes_that_are_no_utf_8_end_no_chat(
    finished: Path, command: Call, monkeypatch: pytest.MonkeyPatch, form: str, line: bytes
) -> None:
    given = io.TextIOWrapper(io.BytesIO(line + b"\nIs Lyon in France?\n"), encoding="utf-8")
    monkeypatch.setattr(io, "StringIO", lambda _: given)  # what the fixture would pipe in
    code, out, err = command("chat", finished, "--form", form, "--max-new-tokens", "5")
    assert code == 0 and "Traceback" not in err
    assert out.count("the line is not UTF-8: what could not be read is replaced by \ufffd") == 1
    assert "Is Lyon in France?" in out
