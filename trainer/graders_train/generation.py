"""Answers of a base model and its adapters, for chat: one process for a base model, one request after the other.

    serve(start, pipe)

README.md beside this file has the messages. A request's choices are generated together, as one batch.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from peft import PeftModel
from tokenizers.decoders import DecodeStream
from transformers import GenerationConfig, StoppingCriteria, StoppingCriteriaList

from . import models
from .progress import ADAPTER_FILES
from .rows import chat_message

if TYPE_CHECKING:
    from .pipe import Pipe

#: Adapters in memory; the least recently used one is dropped.
ADAPTERS = 8


class RefusedRequest(ValueError):
    """Raised for a request that this model cannot answer; `code` is the wire's."""

    def __init__(self, message: str, code: str) -> None:
        super().__init__(message)
        self.code = code


def serve(start: Mapping[str, Any], pipe: Pipe) -> None:
    """Answer requests until input ends.

    Raises:
        OSError: the model's folder cannot be read.
    """
    generator = Generator(models.load(start["model"]), pipe)
    pipe.send("ready")
    while (request := pipe.request()) is not None:
        number = request["number"]
        try:
            prompt, completion = generator.answer(request)
            pipe.send("answered", number=number, prompt_tokens=prompt, completion_tokens=completion)
        except RefusedRequest as error:
            pipe.send("refused", number=number, message=str(error), code=error.code)


class Generator:
    """A base model with the requested adapters."""

    def __init__(self, base: models.LoadedModel, pipe: Pipe) -> None:
        self._base = base
        self._pipe = pipe
        self._model: Any = base.model.eval()
        self._adapters: OrderedDict[str, str] = OrderedDict()
        self._loaded = 0
        tokenizer_end = base.tokenizer.eos_token_id
        configured = base.model.generation_config.eos_token_id
        ends = configured if isinstance(configured, list) else [configured]
        self._ends = sorted({end for end in (*ends, tokenizer_end) if end is not None})

    def answer(self, request: Mapping[str, Any]) -> tuple[int, int]:
        """Send the choices of one request while they are generated; returns the tokens of its prompt and of all
        choices.

        Raises:
            RefusedRequest: the prompt does not fit, the model has no chat template, or the adapter does not exist.
        """
        prompt = self._prompt(request)
        room = models.context_tokens(self._base) - len(prompt)
        if room < 1:
            most = models.context_tokens(self._base)
            text = f"This model's maximum context length is {most} tokens. The messages have {len(prompt)}."
            raise RefusedRequest(text, "context_length_exceeded")
        if request["seed"] is None:
            torch.seed()
        else:
            torch.manual_seed(request["seed"])
        most = min(room, request["max_tokens"] or room)
        choices = Choices(request, self._base.tokenizer, self._pipe, len(prompt), most, self._ends)
        sampled = request["temperature"] > 0
        shape = (
            {"temperature": request["temperature"], "top_p": request["top_p"], "top_k": 0} if sampled else {}
        )
        config = GenerationConfig(
            do_sample=sampled,
            max_new_tokens=most,
            eos_token_id=self._ends or None,
            pad_token_id=self._base.tokenizer.pad_token_id,
            **shape,
        )
        with self._adapted(request["adapter"]), torch.inference_mode():
            ids = torch.tensor([prompt] * request["n"], device=self._base.model.device)
            self._model.generate(
                input_ids=ids,
                attention_mask=torch.ones_like(ids),
                generation_config=config,
                stopping_criteria=StoppingCriteriaList([choices]),
            )
        return len(prompt), choices.tokens

    def _prompt(self, request: Mapping[str, Any]) -> list[int]:
        tokenizer = self._base.tokenizer
        if tokenizer.chat_template is None:
            raise RefusedRequest("This model has no chat template.", "invalid_value")
        text = tokenizer.apply_chat_template(
            [chat_message(message) for message in request["messages"]],
            tools=request["tools"],
            tokenize=False,
            add_generation_prompt=True,
        )
        ids: list[int] = tokenizer(text, add_special_tokens=False)["input_ids"]
        return ids

    def _adapted(self, folder: str | None) -> Any:
        """A context in which the model has this adapter; None: none.

        Raises:
            RefusedRequest: there is no such adapter.
        """
        if folder is None:
            return self._model.disable_adapter() if self._adapters else nullcontext()
        if not all(Path(folder, name).is_file() for name in ADAPTER_FILES):
            raise RefusedRequest("The adapter of this model is not there any more.", "model_not_found")
        if folder not in self._adapters:
            self._loaded += 1
            name = f"adapter-{self._loaded}"
            if isinstance(self._model, PeftModel):
                self._model.load_adapter(folder, name)
            else:
                self._model = PeftModel.from_pretrained(self._model, folder, name).eval()
            self._adapters[folder] = name
        self._adapters.move_to_end(folder)
        self._model.set_adapter(self._adapters[folder])
        if len(self._adapters) > ADAPTERS:
            self._model.delete_adapter(self._adapters.popitem(last=False)[1])
        return nullcontext()


class Choices(StoppingCriteria):  # type: ignore[misc]  # transformers is not typed here
    """The choices of one request during generation: sends their texts and the end of each.

    Attributes:
        tokens: Number of tokens generated so far, over all choices.
    """

    def __init__(
        self,
        request: Mapping[str, Any],
        tokenizer: Any,
        pipe: Pipe,
        prompt_tokens: int,
        most: int,
        ends: list[int],
    ) -> None:
        self._number = request["number"]
        self._pipe = pipe
        self._prompt_tokens = prompt_tokens
        self._most = most
        self._ends = ends
        self._tokenizer = tokenizer._tokenizer
        self._texts = [
            ChoiceText(request["stop"], DecodeStream(skip_special_tokens=True)) for _ in range(request["n"])
        ]
        self.tokens = 0

    def __call__(self, input_ids: Any, scores: Any, **_: Any) -> Any:
        """Whether each choice has ended; transformers calls it after every token."""
        last, length = input_ids[:, -1].tolist(), input_ids.shape[1] - self._prompt_tokens
        abandoned = self._pipe.stop.is_set() or self._number in self._pipe.cancelled
        for index, (text, token) in enumerate(zip(self._texts, last, strict=True)):
            if text.ended:
                continue
            self.tokens += 1
            if token in self._ends:
                self._send(index, text.finish())
                self._end(index, text, "stop")
                continue
            piece = text.add(self._tokenizer, token)
            if not text.ended and length >= self._most:
                piece += text.finish()
            self._send(index, piece)
            if text.stopped or length >= self._most:
                self._end(index, text, "stop" if text.stopped else "length")
        ended = [text.ended or abandoned for text in self._texts]
        return torch.tensor(ended, device=input_ids.device)

    def _send(self, index: int, piece: str) -> None:
        if piece:
            self._pipe.send("text", number=self._number, index=index, text=piece)

    def _end(self, index: int, text: ChoiceText, reason: str) -> None:
        text.ended = True
        self._pipe.send("finish", number=self._number, index=index, reason=reason)


class ChoiceText:
    """The text of one choice, up to its stop sequence.

    Attributes:
        ended: Whether the choice has ended.
        stopped: Whether it ended at a stop sequence.
    """

    def __init__(self, stop: list[str], stream: Any) -> None:
        self._stop = stop
        self._stream = stream
        # text that may be the beginning of a stop sequence
        self._held = ""
        self.ended = False
        self.stopped = False

    def add(self, tokenizer: Any, token: int) -> str:
        """The text that can be sent after one more token."""
        self._held += self._stream.step(tokenizer, token) or ""
        found = [at for stop in self._stop if (at := self._held.find(stop)) >= 0]
        if found:
            self.stopped = True
            said, self._held = self._held[: min(found)], ""
            return said
        keep = max((_overlap(self._held, stop) for stop in self._stop), default=0)
        at = len(self._held) - keep
        said, self._held = self._held[:at], self._held[at:]
        return said

    def finish(self) -> str:
        """The text that was held back, after the last token."""
        said, self._held = self._held, ""
        return said


def _overlap(text: str, stop: str) -> int:
    """The length of the longest suffix of `text` that is a prefix of `stop`."""
    return next((n for n in range(min(len(text), len(stop) - 1), 0, -1) if text.endswith(stop[:n])), 0)
