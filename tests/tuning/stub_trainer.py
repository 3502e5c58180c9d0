"""A trainer in plain Python that speaks the pipe: it counts steps, saves them and leaves when its input ends.

    python stub_trainer.py MODE

train       6 steps
wait        no step, until it is told to stop
slow        a step each 50 ms, 40 in all
long        a step each 10 ms, 200 in all
die         leaves without a word in its third step
raise       says that it failed

Asked to serve, it answers chat instead: with the adapter's folder and the last message, in two pieces. The message "pid"
is answered with its process id, "die" ends it, "long" is refused, and "wait" is not answered before it is cancelled.
"""

from __future__ import annotations

import fcntl
import json
import os
import sys
import threading
import time
from pathlib import Path
from typing import Any

MODE = sys.argv[1]
STEPS = {"slow": 40, "long": 200}.get(MODE, 6)
SECONDS = {"slow": 0.05, "long": 0.01}.get(MODE, 0)
CHECKPOINT_STEPS = {"slow": 10, "long": 20}.get(MODE, 2)
stop = threading.Event()
answers: list[dict[str, Any]] = []
arrived = threading.Condition()


def send(kind: str, **fields: Any) -> None:
    print(json.dumps({"type": kind, **fields}), flush=True)


def read() -> None:
    for line in sys.stdin:
        message = json.loads(line)
        if message["type"] == "stop":
            stop.set()
        with arrived:
            answers.append(message)
            arrived.notify()
    stop.set()
    with arrived:
        arrived.notify()


def next_message() -> dict[str, Any] | None:
    with arrived:
        arrived.wait_for(lambda: answers or stop.is_set())
        return answers.pop(0) if answers else None


def rewards(number: int, step: int, rows: list[dict[str, Any]], split: str) -> list[float | None]:
    samples = [row["prompt"][-1]["content"] for row in rows]
    send(
        "rewards",
        number=number,
        split=split,
        step=step,
        samples=samples,
        items=[row["item"] for row in rows],
    )
    answer = next_message()
    return [] if answer is None else answer["values"]


def validate(step: int, start: dict[str, Any]) -> None:
    metrics = {"full_valid_loss": 2 / step} if step else {}
    if start["method"] == "reinforcement":
        rows = [json.loads(line) for line in Path(start["validation"]).read_text().splitlines()]
        good = [value for value in rewards(100 + step, step, rows, "valid") if value is not None]
        metrics["full_valid_mean_reward"] = sum(good) / len(good)
    send("validation", step=step, metrics=metrics)


def say_checkpoint(step: int, start: dict[str, Any]) -> None:
    found = {"full_valid_loss": 2 / step} if start["validation"] else {}
    send("checkpoint", step=step, folder=f"ckpt-step-{step}", metrics=found)


def adapter(folder: Path, text: str) -> None:
    folder.mkdir(exist_ok=True)
    (folder / "adapter_model.safetensors").write_text(text)


def serve() -> None:
    send("ready")
    while (message := next_message()) is not None:
        if message["type"] == "generate":
            answer(message)


def answer(request: dict[str, Any]) -> None:
    number, said = request["number"], request["messages"][-1]["content"]
    if said == "die":
        print("killed by a test", file=sys.stderr, flush=True)
        os._exit(0)
    if said == "long":
        send("refused", number=number, message="too long", code="context_length_exceeded")
        return
    if said == "wait":
        print("waits", file=sys.stderr, flush=True)
        cancelled = next_message()
        print(f"cancelled {cancelled and cancelled['number'] == number}", file=sys.stderr, flush=True)
        return
    adapter = Path(request["adapter"]).name if request["adapter"] else "base"
    pieces = [str(os.getpid())] if said == "pid" else [f"{adapter}: ", said]
    for index in range(request["n"]):
        for piece in pieces:
            send("text", number=number, index=index, text=piece)
        send("finish", number=number, index=index, reason="stop")
    send("answered", number=number, prompt_tokens=3, completion_tokens=2 * request["n"])


def main() -> None:
    threading.Thread(target=read, daemon=True).start()
    start = next_message()
    assert start is not None
    if start["type"] == "serve":
        serve()
        return
    folder = Path(start["folder"])
    with open(folder / "pids", "a") as pids:
        pids.write(f"{os.getpid()}\n")
    # never two in one folder; the lock goes with its process
    alone = os.open(folder / "alone", os.O_CREAT | os.O_RDWR)
    fcntl.flock(alone, fcntl.LOCK_EX | fcntl.LOCK_NB)
    rows = [json.loads(line) for line in Path(start["train"]).read_text().splitlines()]
    state = folder / "state"
    step = int(state.read_text()) if start["resume"] else 0
    send("ready", step=step)
    for done in range(1, step + 1):
        send("step", step=done, total_steps=STEPS, metrics={"train_loss": 1 / done})
        if (folder / f"ckpt-step-{done}").exists():
            say_checkpoint(done, start)
    print("a launcher prints this", flush=True)
    if start["validation"] and start["method"] == "reinforcement" and not start["resume"]:
        validate(0, start)
    if MODE == "raise":
        send("failed", code="invalid_training_file", message="Example 1 is too long")
        return
    while step < STEPS:
        if MODE == "wait":
            stop.wait()
        time.sleep(SECONDS)
        if stop.is_set():
            break
        step += 1
        if MODE == "die" and step == 3:
            print("out of memory", file=sys.stderr)
            os._exit(0)
        metrics: dict[str, Any] = {"train_loss": 1 / step, "train_mean_token_accuracy": 0.5}
        if start["method"] == "reinforcement":
            values = rewards(step, step, rows, "train")
            good = [value for value in values if value is not None]
            metrics = {"train_mean_reward": sum(good) / max(1, len(good))}
            (folder / "rewards").write_text(json.dumps(values))
        send("step", step=step, total_steps=STEPS, metrics=metrics)
        if start["validation"] and step % 2 == 0:
            validate(step, start)
        is_kept = step % CHECKPOINT_STEPS == 0
        if is_kept:
            adapter(folder / f"ckpt-step-{step}", str(step))
        saved = state.with_suffix(".half")
        saved.write_text(str(step))
        saved.rename(state)
        if is_kept:
            say_checkpoint(step, start)
    if step < STEPS:
        send("stopped", step=step)
        return
    adapter(folder / "model", str(step))
    send("done", step=step, folder="model", trained_tokens=10 * step)


main()
