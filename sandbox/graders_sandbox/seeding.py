"""Reproducible randomness: generators without a seed of their own are seeded for each row.

Few programs use randomness, so `random` and `numpy.random` are not preloaded: they are patched when a program loads
them, and seeded again for each row that shares a process.

    random, numpy.random              their global states are seeded
    random.Random(), .seed()          use the next of the row's seeds in place of the system's entropy
    numpy.random.default_rng(), RandomState(), SeedSequence(), ...: as random.Random()
    os.urandom, secrets, uuid4, random.SystemRandom: the system's, different each time
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence

#: False, since importing typing would add pages that each fork copies.
TYPE_CHECKING = False
if TYPE_CHECKING:
    import types
    from importlib.machinery import ModuleSpec
    from typing import Any

_LARGEST = 0xFFFFFFFFFFFFFFFF
#: Odd, so that all multiples differ: the seeds of one row are far apart (Weyl sequence).
_STEP = 0x9E3779B97F4A7C15


# the row's
_seed = 0
# how many generators have drawn theirs from it
_drawn = 0
# what begins a row in the modules that are loaded
_begun: list[Callable[[], None]] = []


def now() -> int:
    """The row's seed."""
    return _seed


def seed(number: int) -> None:
    """Begin a row with this seed."""
    global _seed, _drawn
    _seed, _drawn = number, 0
    for begin in _begun:
        begin()


def _next() -> int:
    """A seed for one more generator of this row, of 64 bits."""
    global _drawn
    _drawn += 1
    return (_seed + _drawn * _STEP) & _LARGEST


def _change_random(module: Any) -> None:
    plain = module.Random.seed

    def seed(self: Any, a: object = None, version: int = 2) -> None:
        plain(self, _next() if a is None else a, version)

    seed.__doc__ = plain.__doc__
    module.Random.seed = seed
    module.seed = module._inst.seed
    _begun.append(lambda: module.seed(_seed))


def _change_numpy(module: Any) -> None:
    """Patch numpy.random, whose SeedSequence gets entropy by the name `randbits` in its module."""

    def randbits(count: int) -> int:
        words = [_next() for _ in range(-(-count // 64))]
        return sum(word << 64 * at for at, word in enumerate(words)) & ((1 << count) - 1)

    sys.modules["numpy.random.bit_generator"].randbits = randbits  # type: ignore[attr-defined]  # a module's function is replaced
    # it takes no more
    _begun.append(lambda: module.seed(_seed & 0xFFFFFFFF))


#: Module -> patch that is applied after it was loaded.
_CHANGE: dict[str, Callable[[Any], None]] = {"random": _change_random, "numpy.random": _change_numpy}


class _Finder:
    """The first finder of sys.meta_path, which delegates to the others and patches the loaded module."""

    def find_spec(
        self, name: str, path: Sequence[str] | None, target: types.ModuleType | None = None
    ) -> ModuleSpec | None:
        if name not in _CHANGE:
            return None
        specs = (finder.find_spec(name, path, target) for finder in sys.meta_path if finder is not self)
        spec = next(filter(None, specs), None)
        if spec is not None and spec.loader is not None:
            load = spec.loader.exec_module

            def exec_module(module: Any) -> None:
                load(module)
                # a zip file's loader serves other modules too
                if module.__name__ == name:
                    _CHANGE[name](module)
                    _begun[-1]()

            spec.loader.exec_module = exec_module  # type: ignore[method-assign]  # of this one loader
        return spec


def install() -> None:
    """Install the finder, in the template."""
    for name, change in _CHANGE.items():
        if (module := sys.modules.get(name)) is not None:
            change(module)
    sys.meta_path.insert(0, _Finder())
