"""Baselines for measurements: forks and fork servers without any protection."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time

SOURCE = "import re\ndef grade(sample, item):\n    return float(re.search(r'\\d+', sample) is not None)\n"
SAMPLE = "the answer is 42"
NICE = 10  # as the servers' own: both sides of each ratio meet the same competition
#: A server without protection: it forks for each line, and the child grades and answers. It loads the same modules as
#: ours.
_NAKED = """
import gc, json, os, re, select, struct, sys
sys.path.insert(0, sys.argv[1])
import graders_sandbox.jail.server
code = compile(sys.argv[2], "<grader>", "exec")
poll = select.poll()
poll.register(0, select.POLLIN)
gc.collect(); gc.freeze()
running, text = {}, b""
while True:
    for ready, _ in poll.poll():
        if ready:
            value = os.read(ready, 8)
            poll.unregister(ready)
            os.close(ready)
            os.waitpid(running.pop(ready), 0)
            os.write(1, value)
            continue
        data = os.read(0, 65536)
        if not data:
            sys.exit()
        text += data
        while b"\\n" in text:
            line, _, text = text.partition(b"\\n")
            read, write = os.pipe()
            pid = os.fork()
            if not pid:
                space = {}
                exec(code, space)
                os.write(write, struct.pack("d", space["grade"](*json.loads(line))))
                os._exit(0)
            os.close(write)
            running[read] = pid
            poll.register(read, select.POLLIN)
"""
#: Bare forks of a Python with the same modules as our server, measured in that process.
BARE = """
import os, sys, time
sys.path.insert(0, sys.argv[1])
import gc, re
import graders_sandbox.jail.server
gc.collect(); gc.freeze()
for line in sys.stdin:
    started = time.perf_counter()
    pid = os.fork()
    if not pid:
        os._exit(0)
    os.waitpid(pid, 0)
    print(time.perf_counter() - started, flush=True)
"""
#: The folder of this package, from which helpers import it.
HERE = os.path.abspath(__file__).rsplit("/graders_sandbox/", 1)[0]


class Helper:
    """A process that answers lines, with the priority of servers."""

    def __init__(self, code: str, *arguments: str) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-I", "-S", "-c", f"import os\nos.nice({NICE})\n{code}", *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            bufsize=0,
        )
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.input, self.output = self.process.stdin, self.process.stdout

    def ask(self, line: bytes, size: int = 0) -> bytes:
        self.input.write(line)
        return self.output.read(size) if size else self.output.readline()

    def close(self) -> None:
        self.input.close()
        self.process.wait()
        self.output.close()


class NakedServers:
    """Naked fork servers.

    Args:
        ahead: Samples in flight at each.
        source: The grader.
    """

    def __init__(self, count: int, ahead: int, source: str = SOURCE) -> None:
        self.servers = [Helper(_NAKED, HERE, source) for _ in range(count)]
        self.line = json.dumps([SAMPLE, {}]).encode() + b"\n"
        self.ahead = ahead

    def once(self) -> float:
        started = time.perf_counter()
        self.servers[0].ask(self.line, 8)
        return time.perf_counter() - started

    def throughput(self, seconds: float) -> float:
        import select

        outputs = {server.output.fileno(): server for server in self.servers}
        count, started = 0, time.perf_counter()
        for server in self.servers:
            server.input.write(self.line * self.ahead)
        while (now := time.perf_counter()) < started + seconds:
            for output in select.select(list(outputs), [], [], 1)[0]:
                done = len(os.read(output, 8 * self.ahead)) // 8
                count += done
                outputs[output].input.write(self.line * done)
        for server in self.servers:
            for _ in range(self.ahead):
                server.output.read(8)
        return count / (now - started)

    def close(self) -> None:
        for server in self.servers:
            server.close()
