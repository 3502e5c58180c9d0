"""Rendered messages, as a judge or a sampled model reads them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias


@dataclass(frozen=True, slots=True)
class TextPart:
    """`input_text`, or `output_text` when `output` is set."""

    text: str
    output: bool = False

    @property
    def n_chars(self) -> int:
        return len(self.text)


@dataclass(frozen=True, slots=True)
class ImagePart:
    """`input_image`: a URL or data URL, and the wire's `detail` (None when absent)."""

    image_url: str
    detail: str | None = None

    @property
    def n_chars(self) -> int:
        return len(self.image_url)


@dataclass(frozen=True, slots=True)
class AudioPart:
    """`input_audio`: base64 data and its format, "mp3" or "wav"."""

    data: str
    format: str

    @property
    def n_chars(self) -> int:
        return len(self.data)


Part: TypeAlias = TextPart | ImagePart | AudioPart


@dataclass(frozen=True, slots=True)
class Message:
    """One rendered message; `role` is user, assistant, system or developer."""

    role: str
    parts: tuple[Part, ...]


def with_text(messages: tuple[Message, ...], text: str) -> tuple[Message, ...]:
    """The messages, with a text of the user added at the end.

    The text joins the last message if that is the user's: many chat templates refuse two messages of one role in a row.
    """
    last = messages[-1] if messages else None
    if last is None or last.role != "user":
        return (*messages, Message("user", (TextPart(text),)))
    *before, end = last.parts
    # a single text is sent as a plain string, which has the widest support
    if isinstance(end, TextPart):
        parts = (*before, TextPart(f"{end.text}\n\n{text}"))
    else:
        parts = (*last.parts, TextPart(text))
    return (*messages[:-1], Message("user", parts))
