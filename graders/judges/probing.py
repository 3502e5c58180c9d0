"""Probes a judge with a small question, and with a small image, to find out how it answers."""

from __future__ import annotations

import asyncio
import base64
import random
import struct
import time
import zlib
from dataclasses import dataclass, field
from typing import Any

from graders.ask import ModelAsk, ModelReply, Sampling
from graders.config.config import Config
from graders.errors import GradeError
from graders.judges.client import Client
from graders.messages import ImagePart, Message, TextPart
from graders.usage import Usage
from graders.verdict import Verdict

TIMEOUT_S = 60.0
COLOURS = {"red": (220, 30, 30), "green": (30, 170, 60), "blue": (40, 70, 220), "yellow": (240, 220, 40)}
NO_IMAGE = "no image"
#: Pixels of a side of the test image; some models refuse less than 28.
IMAGE_SIDE = 64


@dataclass(frozen=True, slots=True)
class Probe:
    """The result of a probe.

    Attributes:
        ok: Whether the verdict was valid (`message` says whether it was also right).
        url: The URL of the request.
        message: The result in one sentence.
        sampled_model: The model the server says it used.
        structured: The mode of structured output that worked, "" when none did.
        latency_s: Seconds of the whole question, capability negotiation included.
        sees_images: Whether it named the colour of a test image; None when not asked. Also False for a server that
            silently drops images.
        image_message: The result of the image question in one sentence.
    """

    ok: bool
    url: str
    message: str
    sampled_model: str = ""
    structured: str = ""
    latency_s: float = 0.0
    usage: Usage = field(default_factory=Usage)
    sees_images: bool | None = None
    image_message: str = ""


def probe(
    config: Config, model: str, image: bool = False, *, timeout_s: float = TIMEOUT_S, **client: Any
) -> Probe:
    """Ask the judge behind a model name one question of a few tokens, and with `image` one more about an image.

    Never raises for failures of the judge.

    Args:
        client: Further arguments of Client, such as `token`.
    """
    return asyncio.run(_probe(config, model, image, timeout_s, client))


async def _probe(config: Config, model: str, image: bool, timeout_s: float, more: dict[str, Any]) -> Probe:
    client = Client(config.with_routes(votes=1, expected_score="off", steps=False), **more)
    url = config.route(model).url(model)
    try:
        started = time.monotonic()
        try:
            reply = await client.answer(_question(model), deadline=started + timeout_s)
        except GradeError as error:
            return Probe(False, url, f"{error.flag}: {error}", latency_s=time.monotonic() - started)
        sees, seen = await _probe_image(client, model, timeout_s) if image else (None, "")
        return Probe(
            True,
            url,
            _described(reply),
            reply.model,
            reply.provenance["structured"],
            time.monotonic() - started,
            reply.usage,
            sees,
            seen,
        )
    finally:
        await client.aclose()


def _described(reply: ModelReply) -> str:
    what = (
        "answers"
        if reply.verdict == "cedar"
        else f"answers, but said {reply.verdict!r} when asked for 'cedar'"
    )
    dropped = reply.provenance.get("dropped")
    return what + (f"; does not take {', '.join(dropped)}" if dropped else "")


def _question(model: str) -> ModelAsk:
    text = "Answer with the label cedar."
    return ModelAsk(
        model, (Message("user", (TextPart(text),)),), Verdict(labels=("cedar", "birch"), steps=False)
    )


async def _probe_image(client: Client, model: str, timeout_s: float) -> tuple[bool, str]:
    colour = random.choice(list(COLOURS))
    text = f"Which colour is this picture? If you can see no picture, the answer is: {NO_IMAGE}."
    parts = (TextPart(text), ImagePart(png(*COLOURS[colour]), "low"))
    verdict = Verdict(labels=(*COLOURS, NO_IMAGE), steps=False)
    ask = ModelAsk(model, (Message("user", parts),), verdict, Sampling())
    try:
        reply = await client.answer(ask, deadline=time.monotonic() + timeout_s)
    except GradeError as error:
        return False, f"images: {error}"
    if reply.verdict == colour:
        return True, "images: sees them"
    return False, f"images: said {reply.verdict!r} to a {colour} picture; the server may drop images silently"


def png(red: int, green: int, blue: int) -> str:
    """A square of one colour as a data URL."""
    row = b"\0" + bytes((red, green, blue)) * IMAGE_SIDE
    # 8-bit RGB
    header = struct.pack(">IIBBBBB", IMAGE_SIDE, IMAGE_SIDE, 8, 2, 0, 0, 0)
    chunks = ((b"IHDR", header), (b"IDAT", zlib.compress(row * IMAGE_SIDE)), (b"IEND", b""))
    data = b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
        for kind, body in chunks
    )
    return "data:image/png;base64," + base64.b64encode(data).decode()
