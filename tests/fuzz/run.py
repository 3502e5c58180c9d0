"""Coverage-guided fuzzing of the targets, each for some seconds, from its corpus.

    python tests/fuzz/run.py                      every target, 10 seconds each
    python tests/fuzz/run.py spec --seconds 600   one target

Needs atheris (pip install -e '.[fuzz]'). A crash ends the run with exit code 1 and leaves its input in
tests/fuzz/found/, from where it belongs into tests/fuzz/corpus/TARGET, which tests/fuzz/test_corpus.py replays.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).parent
INPUT_MAX_BYTES = 4096


def fuzz(target: str, seconds: int, seed: int) -> None:
    """Never returns: the fuzzer ends its process."""
    import atheris

    sys.path.insert(0, str(HERE.parents[1]))
    with atheris.instrument_imports(include=["graders", "graders_sandbox"]):
        from tests.fuzz.targets import TARGETS
    found, new = HERE / "found", tempfile.mkdtemp(prefix="graders-fuzz-")
    found.mkdir(exist_ok=True)
    arguments = [
        sys.argv[0],
        f"-max_total_time={seconds}",
        f"-seed={seed}",
        f"-max_len={INPUT_MAX_BYTES}",
        "-timeout=30",
        "-rss_limit_mb=2048",
        f"-artifact_prefix={found}/{target}-",
        "-verbosity=0",
        "-print_final_stats=1",
        new,
        str(HERE / "corpus" / target),
    ]
    atheris.Setup(arguments, TARGETS[target])
    atheris.Fuzz()


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("targets", nargs="*", metavar="TARGET")
    parser.add_argument("--seconds", type=int, default=10)
    parser.add_argument(
        "--seed", type=int, default=0, help="the search's; 0, the default: another one each time"
    )
    parser.add_argument("--here", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    targets = options.targets or sorted(path.name for path in (HERE / "corpus").iterdir())
    if options.here:
        fuzz(targets[0], options.seconds, options.seed)
    failed = []
    for target in targets:
        command = [sys.executable, __file__, target, "--seconds", str(options.seconds)]
        command += ["--seed", str(options.seed), "--here"]
        done = subprocess.run(command, stderr=subprocess.PIPE, text=True)
        runs = [line.split()[-1] for line in done.stderr.splitlines() if "number_of_executed_units" in line]
        print(
            f"{target}: {'ok' if done.returncode == 0 else 'FAILED'}, {runs[0] if runs else '?'} inputs",
            flush=True,
        )
        if done.returncode:
            failed.append(target)
            print(done.stderr[-6000:])
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
