"""Extracts answers from decoded text, without prompt and special tokens.

special = SpecialTokens(tokenizer)
special.answer("Paris<|im_end|>")                      "Paris"
special.answer("<s>Capital? Paris</s>", "Capital? ")   "Paris"
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

from graders.errors import SampleParseError

# End tokens of common models' tokenizers, for texts whose special tokens are unknown.
_LOOKALIKE = re.compile(
    r"(?:<\|[^|<>\s]{1,40}\|>|<｜[^｜<>]{1,40}｜>|</?s>|<(?:pad|eos|bos|end_of_turn|start_of_turn)>)\s*\Z"
)


class SpecialTokens:
    """The texts of a tokenizer's special tokens.

    Args:
        tokens: The texts, or a tokenizer with `all_special_tokens`; () when texts have none; None: unknown, and a
            text that ends in a likely special token is refused.
    """

    def __init__(self, tokens: Any = None) -> None:
        given: Iterable[str] | None = getattr(tokens, "all_special_tokens", tokens)
        self._known = given is not None
        self._texts = tuple(sorted(filter(None, given or ()), key=len, reverse=True))
        token = "|".join(map(re.escape, self._texts))
        self._starts = re.compile(rf"(?:{token})+" if token else r"(?!)")

    def answer(self, text: str, prompt: str = "") -> str:
        """The answer in a decoded text, without the prompt before it and the special tokens after it.

        Raises:
            SampleParseError: the text does not begin with the prompt, or ends in unknown special tokens.
        """
        text = self._after(prompt, text)
        if self._known:
            return text[: self._end(text)]
        found = _LOOKALIKE.search(text)
        if found:
            raise SampleParseError(
                f"the answer ends in {found[0].strip()[:80]!r}, which looks like a special token: say with "
                "special_tokens= which there are (their texts, or the tokenizer), or () to grade it as it is"
            )
        return text

    def _end(self, text: str) -> int:
        """The start of the special tokens at the end. A loop, since a regex would try every token as the first."""
        end = len(text)
        while True:
            last = end
            while last and text[last - 1].isspace():
                last -= 1
            token = next((token for token in self._texts if text.endswith(token, 0, last)), None)
            if token is None:
                return end
            end = last - len(token)

    def _after(self, prompt: str, text: str) -> str:
        if text.startswith(prompt):
            return text[len(prompt) :]
        if self._known:
            # without padding or begin tokens that only one of the two has
            bare, wanted = self._starts.sub("", text, count=1), self._starts.sub("", prompt, count=1)
            for candidate in (text, bare):
                for beginning in (prompt, wanted):
                    if candidate.startswith(beginning):
                        return candidate[len(beginning) :]
        raise SampleParseError(
            f"the text does not begin with its prompt, so the answer in it is not known: it begins with {text[:60]!r}, "
            f"the prompt with {prompt[:60]!r}"
            + ("" if self._known else "; say with special_tokens= which special tokens there are")
        )
