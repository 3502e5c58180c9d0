"""Programs of the trainer's environment without its ten seconds of imports: copies of a process that has made them once.

    warm.py keep SOCKET                 in the trainer's environment: waits for programs until its input ends
    warm.py run ADDRESS ARGUMENT...     like `python ARGUMENT...` there, with these streams, folder and environment

A copy ends when what runs it ends, be it by a signal.
"""

from __future__ import annotations

import array
import importlib
import json
import os
import runpy
import select
import signal
import socket
import sys

#: The first sets what the others have to find when they are imported.
LIBRARIES = (
    "graders_train.__main__",
    "graders_train.methods",
    "datasets",
    "peft",
    "trl.trainer.sft_trainer",
    "trl.trainer.dpo_trainer",
    "trl.trainer.grpo_trainer",
)
#: Bytes of a message's length.
_LENGTH = 8


def run(address: str, arguments: list[str]) -> int:
    """The exit status of a program."""
    with socket.socket(socket.AF_UNIX) as connection:
        connection.connect(address)
        program = {"arguments": arguments, "folder": os.getcwd(), "environment": dict(os.environ)}
        message = json.dumps(program).encode()
        streams = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [0, 1, 2]))]
        connection.sendmsg([len(message).to_bytes(_LENGTH)], streams)
        connection.sendall(message)
        return int(connection.recv(16) or 1)


def keep(listening: socket.socket) -> None:
    """Wait for programs. Returns in each copy once its program is to be run, and here when the input ends."""
    _import_libraries()
    # nobody waits for the copies' parents
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    while True:
        ready, _, _ = select.select([listening.fileno(), sys.stdin.fileno()], [], [])
        if listening.fileno() not in ready:
            sys.exit()
        connection, _ = listening.accept()
        if os.fork() == 0:
            listening.close()
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            _copy(connection)
            return
        connection.close()


def _copy(connection: socket.socket) -> None:
    """Become a program's process. The one that forks it waits for its end, or for that of who wanted it."""
    length, streams, _, _ = socket.recv_fds(connection, _LENGTH, 3)
    program = json.loads(connection.recv(int.from_bytes(length), socket.MSG_WAITALL))
    pid = os.fork()
    if pid:
        for stream in streams:
            os.close(stream)
        ended = os.pidfd_open(pid)
        ready, _, _ = select.select([connection.fileno(), ended], [], [])
        if ended not in ready:
            os.kill(pid, signal.SIGKILL)
        status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        if ended in ready:
            connection.sendall(str(status).encode())
        os._exit(0)
    connection.close()
    for number, stream in enumerate(streams):
        os.dup2(stream, number)
        os.close(stream)
    os.chdir(program["folder"])
    os.environ.clear()
    os.environ.update(program["environment"])
    sys.argv = program["arguments"]


def _import_libraries() -> None:
    for name in LIBRARIES:
        importlib.import_module(name)
    # so that a program can run it
    del sys.modules[LIBRARIES[0]]


def _execute() -> None:
    """What the interpreter does with its arguments."""
    match sys.argv:
        case ["-m", module, *_]:
            sys.argv = sys.argv[1:]
            runpy.run_module(module, run_name="__main__", alter_sys=True)
        case ["-c", source, *_]:
            sys.argv = ["-c", *sys.argv[2:]]
            exec(compile(source, "<string>", "exec"), {"__name__": "__main__"})
        case [path, *_]:
            sys.path[0] = os.path.dirname(os.path.abspath(path))
            runpy.run_path(path, run_name="__main__")


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["run", address, *arguments]:
            sys.exit(run(address, arguments))
        case ["keep", number]:
            keep(socket.socket(fileno=int(number)))
            _execute()
