"""python -m graders_sandbox doctor | attack | bench."""

from __future__ import annotations

import sys
from importlib import import_module

COMMANDS = {
    "doctor": "which protections work here, each witnessed",
    "attack": "run the attack suite",
    "bench": "what each layer costs beside a bare fork",
}


def main(arguments: list[str]) -> int:
    """Run a command; its exit code."""
    if not arguments or arguments[0] not in COMMANDS:
        print("usage: python -m graders_sandbox COMMAND\n")
        for name, text in COMMANDS.items():
            print(f"  {name:<8} {text}")
        return 0 if arguments[:1] in (["-h"], ["--help"]) else 2
    module = import_module(f"graders_sandbox.host.{'attacks' if arguments[0] == 'attack' else arguments[0]}")
    sys.argv = [f"graders_sandbox {arguments[0]}", *arguments[1:]]
    code: int = module.main()
    return code


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
