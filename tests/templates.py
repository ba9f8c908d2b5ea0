"""Chat templates in the manner of current families, each reduced to what sets it apart, on a tiny tokenizer."""

from tiny import tiny_tokenizer
from transformers import PreTrainedTokenizerFast

_TURNS = "{% for m in messages %}<|{{ m.role }}|>{{ m.content }}<|end|>{% endfor %}"
_OPEN = "{% if add_generation_prompt %}<|assistant|>{% endif %}"
_ALTERNATING = (
    "{% for m in messages %}{% if (m.role == 'user') != (loop.index0 % 2 == 0) %}"
    "{{ raise_exception('roles must alternate user/assistant') }}{% endif %}{% endfor %}"
)

TEMPLATES: dict[str, str] = {
    "llama3": (
        "{% for m in messages %}<|start|>{{ m.role }}<|header|>\n\n{{ m.content | trim }}<|end|>{% endfor %}"
        "{% if add_generation_prompt %}<|start|>assistant<|header|>\n\n{% endif %}"
    ),
    # A blank before the answer; no role but these two.
    "mistral": (
        _ALTERNATING + "{% for m in messages %}{% if m.role == 'user' %}[INST] {{ m.content }} [/INST]"
        "{% else %} {{ m.content }}<|text-end|>{% endif %}{% endfor %}"
    ),
    "gemma": (
        "{% if messages[0].role == 'system' %}{{ raise_exception('System role not supported') }}{% endif %}"
        + _ALTERNATING
        + "{% for m in messages %}<|start|>{{ 'model' if m.role == 'assistant' else m.role }}\n"
        "{{ m.content | trim }}<|end|>\n{% endfor %}{% if add_generation_prompt %}<|start|>model\n{% endif %}"
    ),
    # Empty reasoning in a finished turn, and in a prompt where thinking is off.
    "qwen3": (
        "{% for m in messages %}<|start|>{{ m.role }}\n{% if m.role == 'assistant' and loop.last %}"
        "<think>\n{{ m.reasoning_content or '' }}\n</think>\n\n{% endif %}{{ m.content }}<|end|>\n{% endfor %}"
        "{% if add_generation_prompt %}<|start|>assistant\n{% if enable_thinking is defined and not enable_thinking %}"
        "<think>\n\n</think>\n\n{% endif %}{% endif %}"
    ),
    # Empty reasoning only where thinking is off; a finished turn has none.
    "switch": (
        _TURNS + "{% if add_generation_prompt %}<|assistant|>{% if thinking is defined and thinking is false %}"
        "<think>\n\n</think>\n\n{% endif %}{% endif %}"
    ),
    # Thinks unless it is told not to, in a word.
    "word": (
        _TURNS + "{% if add_generation_prompt %}<|assistant|>{% if reasoning_mode == 'off' %}<think></think>"
        "{% else %}<think>{% endif %}{% endif %}"
    ),
    # Always begins to think, and drops the thoughts of a finished turn.
    "r1": (
        "{% for m in messages %}{% if m.role == 'assistant' %}<|assistant|>{{ m.content.split('</think>')[-1] }}"
        "<|end|>{% else %}<|{{ m.role }}|>{{ m.content }}{% endif %}{% endfor %}"
        "{% if add_generation_prompt %}<|assistant|><think>\n{% endif %}"
    ),
    # The same with a tag of its own.
    "ponder": _TURNS + "{% if add_generation_prompt %}<|assistant|><ponder>{% endif %}{# ends with </ponder> #}",
    # The same in plain words, which end nowhere.
    "words": _TURNS + "{% if add_generation_prompt %}<|assistant|>Here are my reasoning steps:\n{% endif %}",
    # The same in brackets, whose end is nowhere in the template.
    "brackets": _TURNS + "{% if add_generation_prompt %}<|assistant|>[THOUGHTS]{% endif %}",
    # An answer is ended by the next turn's beginning.
    "glm": (
        "[gMASK]<sop>{% for m in messages %}<|{{ m.role }}|>\n{% if m.role == 'assistant' %}<think></think>\n"
        "{{ m.content }}{% else %}{{ m.content }}{{ '/nothink' if enable_thinking is defined and not enable_thinking }}"
        "{% endif %}{% endfor %}{% if add_generation_prompt %}<|assistant|>"
        "{{ '\n<think></think>' if enable_thinking is defined and not enable_thinking }}{% endif %}"
    ),
    # Channels; the effort is written into the prompt and cannot be turned off.
    "harmony": (
        "<|start|>system<|message|>Reasoning: {{ reasoning_effort | default('medium') }}<|end|>"
        "{% for m in messages %}<|start|>{{ m.role }}{{ '<|channel|>final' if m.role == 'assistant' }}<|message|>"
        "{{ m.content }}{{ '<|return|>' if m.role == 'assistant' and loop.last else '<|end|>' }}{% endfor %}"
        "{% if add_generation_prompt %}<|start|>assistant{% endif %}"
    ),
    # Content has to be a list: of a text nothing is written.
    "smolvlm": (
        "{% for m in messages %}{{ m.role | capitalize }}: {% for part in m.content %}"
        "{% if part.type == 'text' %}{{ part.text }}{% endif %}{% endfor %}<|end|>\n{% endfor %}"
        "{% if add_generation_prompt %}Assistant:{% endif %}"
    ),
    # The same, and it raises for a text.
    "parts": ("{% for m in messages %}<|{{ m.role }}|>{{ m.content[0]['text'] }}<|end|>{% endfor %}" + _OPEN),
    "no_generation_prompt": _TURNS,
    "always_generation_prompt": _TURNS + "<|assistant|>",
    "appended_end": _TURNS + _OPEN + "<|text-end|>",
    "no_end": "{% for m in messages %}{{ m.role | upper }}: {{ m.content }}\n{% endfor %}"
    "{% if add_generation_prompt %}ASSISTANT:{% endif %}",
    # More than an end token follows an answer.
    "wrapped": (
        "{% for m in messages %}<|{{ m.role }}|>{{ '<answer>' ~ m.content ~ '</answer>' if m.role == 'assistant' "
        "else m.content }}<|end|>{% endfor %}" + _OPEN
    ),
    # Blanks and line breaks are not what was given, and stand for them.
    "joined": "{% for m in messages %}<|{{ m.role }}|>{{ m.content.split() | join(' ') }}<|end|>{% endfor %}" + _OPEN,
    "without_breaks": (
        "{% for m in messages %}<|{{ m.role }}|>{{ m.content.replace('\n', '') }}<|end|>{% endfor %}" + _OPEN
    ),
    "word_wrapped": "{% for m in messages %}<|{{ m.role }}|>{{ m.content | wordwrap(79) }}<|end|>{% endfor %}" + _OPEN,
    # One question, and nothing before it.
    "one_question": "{% if messages | length > 2 %}{{ raise_exception('one question only') }}{% endif %}"
    + _TURNS
    + _OPEN,
    "last_question": (
        "{% for m in messages %}{% if loop.last or (loop.revindex == 2 and messages[-1].role == 'assistant') %}"
        "<|{{ m.role }}|>{{ m.content }}<|end|>{% endif %}{% endfor %}" + _OPEN
    ),
    # What is refused in one line.
    "underscored": "{% for m in messages %}<|{{ m.role }}|>{{ m.content.replace(' ', '_') }}<|end|>{% endfor %}"
    + _OPEN,
    "first_line": ("{% for m in messages %}<|{{ m.role }}|>{{ m.content.split('\n')[0] }}<|end|>{% endfor %}" + _OPEN),
    "quoted": (
        "{% for m in messages %}<|{{ m.role }}|>{{ m.content.replace('\n', '\n> ') }}<|end|>{% endfor %}" + _OPEN
    ),
    "without_tags": "{% for m in messages %}<|{{ m.role }}|>{{ m.content | striptags }}<|end|>{% endfor %}" + _OPEN,
    "escaped": "{% for m in messages %}<|{{ m.role }}|>{{ m.content | e if m.role == 'user' else m.content }}<|end|>"
    "{% endfor %}" + _OPEN,
    "without_quotes": (
        "{% for m in messages %}<|{{ m.role }}|>{{ m.content.replace('\"', '') }}<|end|>{% endfor %}" + _OPEN
    ),
    "up_to_a_heading": (
        "{% for m in messages %}<|{{ m.role }}|>{{ m.content.split('###')[0] }}<|end|>{% endfor %}" + _OPEN
    ),
    "cut_late": "{% for m in messages %}<|{{ m.role }}|>{{ m.content[:3000] }}<|end|>{% endfor %}" + _OPEN,
    "by_chance": "{{ ['Hi.', 'Hello.', 'Hey.', 'Yo.'] | random }}" + _TURNS + _OPEN,
    "words_in_turns": (
        "{% for m in messages %}<|{{ m.role }}|>{{ 'Let me think step by step.\n' if m.role == 'assistant' }}"
        "{{ m.content }}<|end|>{% endfor %}"
        "{% if add_generation_prompt %}<|assistant|>Let me think step by step.\n{% endif %}"
    ),
    "needs_system": (
        "{% if messages[0].role != 'system' %}{{ raise_exception('a system message is required') }}{% endif %}"
        + _TURNS
        + _OPEN
    ),
    "some_parts": (
        "{% for m in messages %}<|{{ m.role }}|>{{ m.content[0]['text'] if m.role == 'user' else m.content }}<|end|>"
        "{% endfor %}" + _OPEN
    ),
    "capitalised": (
        "{% for m in messages %}<|{{ m.role }}|>{{ m.content | capitalize if m.role == 'assistant' else m.content }}"
        "<|end|>{% endfor %}" + _OPEN
    ),
    "cut": "{% for m in messages %}<|{{ m.role }}|>{{ m.content[:200] }}<|end|>{% endfor %}" + _OPEN,
    "shouted": "{% for m in messages %}<|{{ m.role }}|>{{ m.content | upper }}<|end|>{% endfor %}" + _OPEN,
    "as_json": "{% for m in messages %}<|{{ m.role }}|>{{ m.content | tojson }}<|end|>{% endfor %}" + _OPEN,
    "unclosed": _TURNS + "{% if add_generation_prompt %}<|assistant|>",
    "lower": "{% for m in messages %}<|{{ m.role }}|>{{ m.content | lower }}<|end|>{% endfor %}" + _OPEN,
    "lower_question": (
        "{% for m in messages %}<|{{ m.role }}|>{{ m.content | lower if m.role == 'user' else m.content }}<|end|>"
        "{% endfor %}" + _OPEN
    ),
    "no_question": (
        "{% for m in messages %}<|{{ m.role }}|>{{ m.content if m.role == 'assistant' }}<|end|>{% endfor %}" + _OPEN
    ),
    "twice": "{{ messages[-1].content if add_generation_prompt }}" + _TURNS + _OPEN,
    "no_system": (
        "{% for m in messages if m.role != 'system' %}<|{{ m.role }}|>{{ m.content }}<|end|>{% endfor %}" + _OPEN
    ),
    "thinks": (
        "{% for m in messages %}<|{{ m.role }}|>{{ '<think>' if m.role == 'assistant' }}{{ m.content }}<|end|>"
        "{% endfor %}{% if add_generation_prompt %}<|assistant|><think>{% endif %}"
    ),
    "raises": "{{ raise_exception('tools are required') }}",
}

SPECIAL = [
    "<|start|>",
    "<|header|>",
    "<|message|>",
    "<|channel|>",
    "<|return|>",
    "[INST]",
    "[/INST]",
    "<think>",
    "</think>",
]


def tokenizer_with(name: str) -> PreTrainedTokenizerFast:
    """The tiny tokenizer with the template of this name; as in real ones, tags of reasoning are no special tokens."""
    tokenizer = tiny_tokenizer(chat=True)
    tokenizer.add_special_tokens({"additional_special_tokens": SPECIAL[:-2]}, replace_extra_special_tokens=False)
    tokenizer.add_tokens(SPECIAL[-2:])
    tokenizer.chat_template = TEMPLATES[name]
    return tokenizer
