"""Training rows in the supervisor's forms, as token ids and prompts.

supervised      {"messages": [...], "tools"?: [...]} with an optional "weight" (0 or 1) on assistant messages,
                or {"prompt": text, "completion": text}
dpo             {"prompt": [...], "chosen": [...], "rejected": [...], "tools"?: [...]}
reinforcement   {"prompt": [...], "item": {...}}
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any


class RowError(ValueError):
    """Raised for a row that does not fit the model's template or context; `code` is the job's error code."""

    code = "invalid_training_file"


def read(path: str | Path) -> list[dict[str, Any]]:
    """All rows of a JSONL file."""
    with open(path, encoding="utf-8") as lines:
        return [json.loads(line) for line in lines if line.strip()]


def tokenized(rows: list[dict[str, Any]], tokenizer: Any, max_tokens: int) -> list[dict[str, list[int]]]:
    """Supervised rows as token ids with a mask.

    Args:
        rows: Rows of the supervised form.
        tokenizer: A fast tokenizer, with a chat template if rows have messages.
        max_tokens: Longer rows are truncated, as by the hosted service.

    Returns:
        For each row `input_ids` and `completion_mask`, of equal length: 1 where the loss includes the token.

    Raises:
        RowError: The rendered conversation does not begin with its rendered first part, so that the assistant's tokens
            are unknown; or a row has no token for the loss.
    """
    examples = []
    for number, row in enumerate(rows, 1):
        text, learned = _rendered(row, tokenizer, number)
        encoded = tokenizer(text, add_special_tokens=False, return_offsets_mapping=True)
        ids = encoded["input_ids"][:max_tokens]
        offsets = encoded["offset_mapping"][:max_tokens]
        mask = [int(any(low <= start < high for low, high in learned)) for start, _ in offsets]
        if not any(mask):
            raise RowError(
                f"Example {number} has no token that is learned: its assistant messages are empty, have weight 0, or "
                f"begin after the context of {max_tokens} tokens"
            )
        examples.append({"input_ids": ids, "completion_mask": mask})
    return examples


def _rendered(row: dict[str, Any], tokenizer: Any, number: int) -> tuple[str, list[tuple[int, int]]]:
    """The text of a row, and the spans that the loss includes."""
    if "completion" in row:
        text = row["prompt"] + row["completion"] + (tokenizer.eos_token or "")
        return text, [(len(row["prompt"]), len(text))]
    messages = [chat_message(message) for message in row["messages"]]
    tools = row.get("tools")
    text = tokenizer.apply_chat_template(messages, tools=tools, tokenize=False)
    learned = []
    for at, message in enumerate(row["messages"]):
        if message["role"] != "assistant" or message.get("weight", 1) == 0:
            continue
        before = tokenizer.apply_chat_template(
            messages[:at], tools=tools, tokenize=False, add_generation_prompt=True
        )
        through = tokenizer.apply_chat_template(messages[: at + 1], tools=tools, tokenize=False)
        if not (through.startswith(before) and text.startswith(through)):
            raise RowError(
                f"Example {number}, message {at}: the model's chat template writes the beginning of a conversation "
                "differently once it goes on, so the assistant's tokens cannot be told from the rest"
            )
        learned.append((len(before), len(through)))
    return text, learned


def chat_message(message: dict[str, Any]) -> dict[str, Any]:
    """A message in the form of chat templates: `developer` becomes `system`, and the weight is removed."""
    role = "system" if message["role"] == "developer" else message["role"]
    return {**{key: value for key, value in message.items() if key != "weight"}, "role": role}


def pairs(rows: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """Preference rows in TRL's form."""
    for row in rows:
        pair = {
            side: [chat_message(message) for message in row[side]]
            for side in ("prompt", "chosen", "rejected")
        }
        yield {**pair, "tools": row["tools"]} if row.get("tools") else pair


def prompts(rows: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """Reinforcement rows in TRL's form. The item is JSON text, since its fields may differ from row to row."""
    for row in rows:
        yield {
            "prompt": [chat_message(message) for message in row["prompt"]],
            "item": json.dumps(row["item"], ensure_ascii=False),
        }
