"""What is asked and taught in chat templates of every manner, and what is refused before anything is asked."""

from dataclasses import replace
from datetime import date
from typing import Any

import pytest
from templates import TEMPLATES, tokenizer_with
from tiny import tiny_tokenizer

from grait.config import PromptConfig
from grait.config.loading import parse_config
from grait.errors import ConfigError, ModelError
from grait.model.forms import built_in
from grait.model.prompt_check import check_prompts
from grait.model.prompts import PromptFormat
from grait.records import Question

QUESTION = Question("q", "What is the capital of France?", ("Paris",))
ASKED = "What is the capital of France?"
OFF = "told not to reason"
DONE = "as in its finished turns"
BLANKS = "changes blanks and line breaks"

RIGHT: dict[str, tuple[str, str, str, str]] = {
    "llama3": (f"<|start|>user<|header|>\n\n{ASKED}<|end|><|start|>assistant<|header|>\n\n", "", "<|end|>", ""),
    "mistral": (f"[INST] {ASKED} [/INST]", " ", "<|text-end|>", ""),
    "gemma": (f"<|start|>user\n{ASKED}<|end|>\n<|start|>model\n", "", "<|end|>", ""),
    "qwen3": (f"<|start|>user\n{ASKED}<|end|>\n<|start|>assistant\n<think>\n\n</think>\n\n", "", "<|end|>", OFF),
    "switch": (f"<|user|>{ASKED}<|end|><|assistant|><think>\n\n</think>\n\n", "", "<|end|>", OFF),
    "word": (f"<|user|>{ASKED}<|end|><|assistant|><think></think>", "", "<|end|>", OFF),
    "r1": (f"<|user|>{ASKED}<|assistant|>", "", "<|end|>", DONE),
    "ponder": (f"<|user|>{ASKED}<|end|><|assistant|>", "", "<|end|>", DONE),
    "words": (
        f"<|user|>{ASKED}<|end|><|assistant|>",
        "",
        "<|end|>",
        "'Here are my reasoning steps:', which is left out",
    ),
    "word_wrapped": (f"<|user|>{ASKED}<|end|><|assistant|>", "", "<|end|>", BLANKS),
    "brackets": (f"<|user|>{ASKED}<|end|><|assistant|>", "", "<|end|>", DONE),
    "glm": (f"[gMASK]<sop><|user|>\n{ASKED}/nothink<|assistant|>\n<think></think>\n", "", "<|user|>", OFF),
    "harmony": (
        "<|start|>system<|message|>Reasoning: medium<|end|>"
        f"<|start|>user<|message|>{ASKED}<|end|><|start|>assistant<|channel|>final<|message|>",
        "",
        "<|return|>",
        DONE,
    ),
    "smolvlm": (f"User: {ASKED}<|end|>\nAssistant:", " ", "<|end|>", ""),
    "parts": (f"<|user|>{ASKED}<|end|><|assistant|>", "", "<|end|>", ""),
    "no_generation_prompt": (f"<|user|>{ASKED}<|end|><|assistant|>", "", "<|end|>", DONE),
    "always_generation_prompt": (f"<|user|>{ASKED}<|end|><|assistant|>", "", "<|end|>", ""),
    "appended_end": (f"<|user|>{ASKED}<|end|><|assistant|>", "", "<|end|>", ""),
    "wrapped": (
        f"<|user|>{ASKED}<|end|><|assistant|><answer>",
        "",
        "<|text-end|>",
        "'</answer><|end|>' after an answer",
    ),
    "joined": (f"<|user|>{ASKED}<|end|><|assistant|>", "", "<|end|>", BLANKS),
    "without_breaks": (f"<|user|>{ASKED}<|end|><|assistant|>", "", "<|end|>", BLANKS),
    "one_question": (f"<|user|>{ASKED}<|end|><|assistant|>", "", "<|end|>", "takes one question (one question only)"),
    "last_question": (f"<|user|>{ASKED}<|end|><|assistant|>", "", "<|end|>", "one question (it leaves earlier turns"),
    "no_end": (f"USER: {ASKED}\nASSISTANT:", " ", "<|text-end|>", ""),
}
"""By template: the prompt, the blanks before an answer, the token that ends it, and words of what the run says."""

REFUSED = {
    "lower": "lower-cases an answer",
    "lower_question": "lower-cases the question",
    "shouted": "upper-cases an answer",
    "as_json": "changes a question of several lines",
    "cut": "cuts a question of 3,915 characters off after 196",
    "unclosed": "has a syntax error in line 1 (Unexpected end of template",
    "no_question": "leaves the question out",
    "twice": "writes the question 2 times",
    "thinks": "ends inside reasoning (<think>), where no answer can be taught",
    "some_parts": "takes a list as the content of some turns",
    "capitalised": "changes capitals of an answer",
    "raises": "refuses the prompt: tools are required",
    "underscored": "changes the question",
    "first_line": "leaves the question out",
    "quoted": "changes a question of several lines",
    "without_tags": "changes a question with quotes and marks",
    "escaped": "changes a question with quotes and marks",
    "without_quotes": "changes a question with quotes and marks",
    "up_to_a_heading": "cuts a question with quotes and marks off after",
    "cut_late": "cuts a question of 3,915 characters off after 2999",
    "by_chance": "writes another text each time",
    "words_in_turns": "ends inside reasoning (Let me think step by step.)",
    "needs_system": "refuses the prompt: a system message is required; give it a system message, as prompt.system",
}


def prompts_of(name: str, **prompt: Any) -> PromptFormat:
    tokenizer = tokenizer_with(name)
    ends = frozenset([int(tokenizer.convert_tokens_to_ids("<|user|>"))]) if name == "glm" else frozenset()
    return PromptFormat(tokenizer, PromptConfig(**({"forms": ["question"]} | prompt)), ends=ends)


def test_every_template_is_tried() -> None:
    assert set(TEMPLATES) == {*RIGHT, *REFUSED, "no_system"}


@pytest.mark.parametrize("name", RIGHT)
def test_prompt_and_answer_are_the_templates_own_turn(name: str) -> None:
    text, blanks, end, note = RIGHT[name]
    prompts = prompts_of(name)
    prompt = prompts.prompt(QUESTION, "refuse")
    completion = prompts.completion(prompt, "I don't know.")
    assert (prompt.text, completion.text) == (text, f"{blanks}I don't know.")
    assert prompts.tokenizer.convert_ids_to_tokens(completion.token_ids[-1]) == end
    together = prompts.tokenizer(prompt.text + completion.text, add_special_tokens=False)["input_ids"]
    assert [*prompt.token_ids, *completion.token_ids[:-1]] == together
    notes = " ".join(check_prompts(prompts))
    assert note in notes if note else not notes
    assert completion.token_ids[-1] in prompts.end_token_ids(is_chat=True)
    # The template itself agrees, where it writes its finished turns as it asks.
    messages = [*prompts.messages(QUESTION, "refuse"), {"role": "assistant", "content": "I don't know."}]
    turn = prompts.template.turn(messages)
    assert turn.startswith(prompt.text + completion.text) or name in ("switch", "word")


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_right_is_one_line(name: str) -> None:
    with pytest.raises(ModelError) as error:
        check_prompts(prompts_of(name))
    assert REFUSED[name] in str(error.value) and "\n" not in str(error.value)


def test_the_model_whose_template_is_refused_is_named() -> None:
    prompts = prompts_of("cut")
    prompts.tokenizer.name_or_path = "org/model"
    with pytest.raises(ModelError, match=r"^org/model: a bare chat question: the chat template cuts"):
        check_prompts(prompts)


@pytest.mark.parametrize("name", RIGHT)
def test_no_prompt_ends_in_reasoning(name: str) -> None:
    """Also not where the user asks for reasoning: an answer is taught after it, not in it."""
    arguments = {"enable_thinking": True, "thinking": True, "reasoning_mode": "on"}
    text = prompts_of(name, template_arguments=arguments).prompt(QUESTION, "refuse").text
    assert text.rfind("<think>") <= text.rfind("</think>") and not text.endswith("<ponder>")


def test_the_users_arguments_are_given_and_others_are_found_beside_them() -> None:
    found = prompts_of("harmony", template_arguments={"reasoning_effort": "low"})
    assert "Reasoning: low" in found.prompt(QUESTION, "refuse").text
    dated = prompts_of("qwen3", template_arguments={"date_string": "1 May"}).template.arguments
    assert dated == {"date_string": "1 May", "enable_thinking": False}
    assert prompts_of("qwen3", template_arguments={"enable_thinking": True}).template.arguments == {
        "enable_thinking": True
    }


def test_a_system_message_stands_in_the_prompt_or_is_refused() -> None:
    told = "System role not supported; take a form without a system message, and no prompt.system"
    for name, message in (("gemma", told), ("no_system", "leaves the system message out")):
        with pytest.raises(ModelError, match=message):
            check_prompts(prompts_of(name, forms=["assistant"]))
    with pytest.raises(ModelError, match="roles must alternate"):
        check_prompts(prompts_of("mistral", system="Be brief."))
    check_prompts(prompts_of("qwen3", forms=["assistant"]))
    check_prompts(prompts_of("no_system"))


def test_a_template_that_wants_a_system_message_is_given_one() -> None:
    prompts = prompts_of("needs_system", system="Be brief.")
    assert not check_prompts(prompts)
    assert prompts.prompt(QUESTION, "refuse").text == f"<|system|>Be brief.<|end|><|user|>{ASKED}<|end|><|assistant|>"
    assert prompts.takes_turns and prompts.end_text(True) == "<|end|>"


def test_several_templates_without_a_default_are_named() -> None:
    prompts = prompts_of("llama3")
    one = prompts.tokenizer.chat_template
    prompts.tokenizer.chat_template = {"rag": one, "tool_use": one}
    with pytest.raises(
        ModelError, match=r"has several \(rag, tool_use\), and none is the default; save one of them as"
    ):
        check_prompts(prompts)
    prompts = prompts_of("llama3")
    prompts.tokenizer.chat_template = {"default": one, "tool_use": one}
    check_prompts(prompts)


def test_a_template_that_tells_the_second_is_no_chance() -> None:
    prompts = prompts_of("llama3")
    prompts.tokenizer.chat_template = "{{ strftime_now('%H:%M:%S.%f') }}" + prompts.tokenizer.chat_template
    check_prompts(prompts)


def test_a_template_that_drops_later_turns_is_told_in_plain_words() -> None:
    prompts = prompts_of("llama3")
    prompts.tokenizer.chat_template = (
        "<|user|>{{ messages[0].content }}<|end|>{% if messages[1:] %}<|assistant|>{{ messages[1].content }}<|end|>"
        "{% endif %}{% if add_generation_prompt %}<|assistant|>{% endif %}"
    )
    (note,) = check_prompts(prompts)
    assert note.startswith("the chat template takes one question (it leaves later turns out): nothing is taught")


def test_shots_as_turns_are_asked_in_every_template() -> None:
    for name in RIGHT:
        prompts = replace(prompts_of(name, shots_style="chat", forms=["examples"]), shots=(QUESTION,))
        if name in ("one_question", "last_question"):
            with pytest.raises(ModelError, match=r"prompt\.shots_style = chat: .*takes one question.* set it to plain"):
                check_prompts(prompts)
            continue
        check_prompts(prompts)
        shown = prompts.prompt(replace(QUESTION, question="And of Italy?"), "refuse")
        assert ASKED in shown.text and "Paris" in shown.text


LINES = "Read this:\n\n  The Po is long.\nIs it?"


@pytest.mark.parametrize("name", ["joined", "without_breaks", "llama3", "gemma"])
def test_messages_of_several_lines_may_have_their_blanks_changed(name: str) -> None:
    """A system message and solved examples of several lines were taken to be left out, a prompt's end not found."""
    shots = (replace(QUESTION, question=LINES), QUESTION)
    system = {} if name == "gemma" else {"system": "Be brief.\n\nSay what you know."}
    prompts = replace(prompts_of(name, shots_style="chat", forms=["examples"], **system), shots=shots)
    check_prompts(prompts)
    text = prompts.prompt(replace(QUESTION, question=LINES), "refuse").text
    assert "".join(text.split()).count("".join(LINES.split())) == 2
    assert prompts.template.prompt([{"role": "user", "content": LINES}])[0].startswith("<|")


def test_a_solved_example_that_is_left_out_is_told() -> None:
    shots = (replace(QUESTION, answers=("Paris",), question="What is 1?"),)
    prompts = replace(prompts_of("llama3", shots_style="chat", forms=["examples"]), shots=shots)
    kept = "{% if m.content != 'Paris' %}{{ m.content }}{% endif %}"
    prompts.tokenizer.chat_template = TEMPLATES["always_generation_prompt"].replace("{{ m.content }}", kept)
    with pytest.raises(ModelError, match=r"leaves a solved example out; .* prompt\.shots_style"):
        check_prompts(prompts)


def test_keys_name_a_template_only_where_it_is_not_taken_as_it_is() -> None:
    """Runs of before, whose prompts are what they were, are continued."""
    for name in ("llama3", "gemma", "always_generation_prompt"):
        assert set(prompts_of(name).key) == {"prompt"}
    assert "template_arguments" not in prompts_of("llama3").key["prompt"]
    for name in ("qwen3", "r1", "harmony", "smolvlm", "mistral"):
        assert set(prompts_of(name).key) == {"prompt", "template"}


@pytest.mark.parametrize("name", RIGHT)
def test_defaults_in_the_template_ask_as_the_run_did(name: str) -> None:
    """A merged model's template needs no arguments, and still takes them."""
    prompts = prompts_of(name)
    messages = prompts.messages(QUESTION, "refuse")
    if prompts.template.takes_parts:
        return
    wanted = prompts.template.opened(messages)
    served = prompts.template.with_defaults(prompts.tokenizer)
    ask = {"tokenize": False, "add_generation_prompt": True}
    assert served.apply_chat_template(messages, **ask) == wanted
    other = served.apply_chat_template(messages, **ask, enable_thinking=True)
    assert (other != wanted) == (name in ("qwen3", "glm"))


def test_an_end_that_the_tokenizer_appends_is_no_part_of_a_prompt() -> None:
    from tokenizers.processors import TemplateProcessing

    tokenizer = tiny_tokenizer()
    tokenizer.backend_tokenizer.post_processor = TemplateProcessing(
        single="$A <|text-end|>", special_tokens=[("<|text-end|>", 1)]
    )
    prompts = PromptFormat(tokenizer, PromptConfig())
    assert tokenizer("Paris")["input_ids"][-1] == 1  # the control
    prompt = prompts.prompt(QUESTION, "refuse")
    completion = prompts.completion(prompt, "Paris")
    assert 1 not in prompt.token_ids and completion.token_ids.count(1) == 1
    assert tokenizer.decode([*prompt.token_ids, *completion.token_ids[:-1]]) == f"{prompt.text} Paris"


def test_reasoning_that_special_tokens_mark_is_seen_in_generated_tokens() -> None:
    """Without its special tokens a channel's text is part of the answer."""
    prompts = prompts_of("harmony")
    text = "<|channel|>analysis<|message|>Rome?<|end|><|start|>assistant<|channel|>final<|message|>Paris"
    token_ids = prompts.tokenizer(text, add_special_tokens=False)["input_ids"]
    assert prompts.decode(token_ids) == text
    assert prompts.decode(prompts.tokenizer("Paris<|end|>", add_special_tokens=False)["input_ids"]) == "Paris"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"messages": []}, "'messages' is no argument of a chat template's own"),
        ({"a b": 1}, "'a b' is no argument"),
        ({"today": date(2026, 1, 1)}, "today: neither text, number"),
        ("off", "template_arguments = 'off'"),
    ],
)
def test_arguments_are_checked_with_the_config(arguments: Any, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        parse_config({"prompt": {"template_arguments": arguments}})


def test_forms_that_are_asked_alone_are_checked_too() -> None:
    prompts = prompts_of("gemma")
    check_prompts(prompts)
    with pytest.raises(ModelError, match="the form assistant: the chat template refuses the prompt"):
        check_prompts(prompts, [built_in("assistant", prompts.config)])
