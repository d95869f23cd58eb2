"""The prompt that belongs to an adapter, for programs that do not have this package."""

from pathlib import Path
from typing import Any

from generalthinker.config.settings import Settings
from generalthinker.files import read_json
from generalthinker.prompts import INSTRUCTION, question_messages, question_prompt

QUESTION = "{question}"  # stands for the question; an ordinary text replacement puts one in


def describe_prompt(settings: Settings, tokenizer: Any, model: Path) -> dict[str, Any]:
    """Return how a question is asked and answered in the evaluation, as JSON.

    `prompt` is the text that `messages` become with the chat template of the base model in the folder `model`: it shows
    the system turn that the template may add.
    """
    return {
        "instruction": INSTRUCTION,
        "messages": question_messages(QUESTION),
        "chat_template_arguments": {"add_generation_prompt": True},
        "prompt": question_prompt(tokenizer, QUESTION),
        "add_special_tokens": False,  # the template has written them
        "generation": {
            "do_sample": False,
            "repetition_penalty": 1.0,
            "max_new_tokens": settings.evaluation.max_new_tokens,
        },
        "stop": stop_tokens(tokenizer, model),
        "answer": "the content of the last \\boxed{…} of the response",
    }


def stop_tokens(tokenizer: Any, model: Path) -> list[str]:
    """Return the tokens that end a response: those of the model's `generation_config.json`, else the tokenizer's."""
    path = model / "generation_config.json"
    ends = read_json(path).get("eos_token_id") if path.exists() else None
    if ends is None:
        return [tokenizer.eos_token]
    return tokenizer.convert_ids_to_tokens([ends] if isinstance(ends, int) else ends)
