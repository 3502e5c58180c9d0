"""All checks in one command: lint, format, types, default tests."""

from __future__ import annotations

import subprocess
import sys

CHECKS = (
    (sys.executable, "-m", "ruff", "check", "."),
    (sys.executable, "-m", "ruff", "format", "--check", "."),
    (sys.executable, "-m", "mypy"),
    (sys.executable, "-m", "pytest", "-n", "2"),
)


def main() -> int:
    """Run every check, also after one has failed; 1 when one did."""
    failed = [" ".join(check[1:]) for check in CHECKS if subprocess.run(check, check=False).returncode]
    for command in failed:
        print(f"failed: python {command}", file=sys.stderr)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
