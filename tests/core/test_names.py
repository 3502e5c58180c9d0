"""Class names: nouns, and one for one concept."""

from __future__ import annotations

import ast
import re
from collections import defaultdict

from tests.core.test_sizes import MODULES

#: Word at the end of a name that says no noun: a participle, regular or not.
PARTICIPLE = re.compile(r"(ed|ing|en)$|^(Cut|Gone|Known|Kept|Lost|Made|Met|Read|Sent|Spent|Told)$")
#: Last words with such an ending that are nouns or public names.
NOUNS = {
    "Binding": "the noun of the glossary",
    "Children": "a noun",
    "Finding": "the noun of the glossary",
    "Golden": "the field's word for an expected output that is kept in a file",
    "Recorded": "public: docs/models.md shows it",
    "Recording": "a noun: a file of answers",
    "Sampling": "the field's word for temperature, top_p, seed and the like",
    "Timing": "a noun",
}
#: Names that stand in more than one place.
SHARED = {
    "Limits": "public in graders.server and in graders_sandbox",
    "Outcome": "public in graders.testing and in graders_sandbox",
    "Server": "one on each side of the jail's wall, each other's counterpart",
    "Source": "one on each side of the jail's wall",
    "Template": "a text's, and the process that samples are forked from",
}


def classes() -> dict[str, list[tuple[str, list[str]]]]:
    """Name -> path and bases of each class of this name."""
    found: dict[str, list[tuple[str, list[str]]]] = defaultdict(list)
    for path, text in MODULES.items():
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.ClassDef):
                bases = [ast.unparse(base).rpartition(".")[2] for base in node.bases]
                found[node.name.lstrip("_")].append((path, bases))
    return found


CLASSES = classes()


def is_exception(name: str) -> bool:
    """Whether a class is raised, so that its name is a statement, such as StoreBusy."""
    return name.endswith(("Error", "Exception")) or any(
        is_exception(base) for _, bases in CLASSES.get(name, ()) for base in bases
    )


def last_word(name: str) -> str:
    """Its noun, where it has one."""
    return re.split(r"(?<=[a-z0-9])(?=[A-Z])", name)[-1]


def is_participle(name: str) -> bool:
    return bool(PARTICIPLE.search(last_word(name))) and last_word(name) not in NOUNS


def test_a_class_is_a_noun() -> None:
    """No class but exceptions is called by a participle, such as Graded or Waiting."""
    found = {
        name: [path for path, _ in places]
        for name, places in CLASSES.items()
        if is_participle(name) and not is_exception(name)
    }
    assert found == {}
    assert NOUNS.keys() <= set(map(last_word, CLASSES))
    assert all(map(is_participle, ("Graded", "RowGraded", "Waiting", "Seen", "Spent")))


def test_a_noun_means_one_concept() -> None:
    """No class name stands twice, apart from those of SHARED."""
    repeated = {name: [path for path, _ in places] for name, places in CLASSES.items() if len(places) > 1}

    assert {name: paths for name, paths in repeated.items() if name not in SHARED} == {}
    assert SHARED.keys() <= repeated.keys()
