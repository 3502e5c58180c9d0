"""Pages as documents: their modules joined, and nothing in them that could make markup of a text."""

from __future__ import annotations

import re
from collections import Counter
from importlib.resources import files

import pytest

from graders.pages.document import document, joined

ASSETS = files("graders.pages").joinpath("assets")
MODULES = sorted(path.name for path in ASSETS.iterdir() if path.name.endswith(".js"))
ENTRIES = ("app.js", "report.js")
IMPORT = re.compile(r'^import (?:\{ ([^}]*) \} from )?"\./(\w+\.js)";$', re.MULTILINE)
DECLARED = re.compile(
    r"^(?:export )?(?:async )?(?:const|let|function|class) (?:\[[^\]]*\]|([$\w]+))", re.MULTILINE
)


def text_of(name: str) -> str:
    return ASSETS.joinpath(name).read_text(encoding="utf-8")


@pytest.mark.parametrize("name", MODULES)
def test_a_module_makes_no_markup_of_strings(name: str) -> None:
    """Short, without what makes markup or code of a string, and importing what others export and nothing else."""
    text = text_of(name)

    assert text.count("\n") <= 300
    assert not re.search(
        r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\(|new Function|srcdoc", text
    )
    assert len(IMPORT.findall(text)) == len(re.findall(r"^import\b", text, re.MULTILINE))
    for wanted, module in IMPORT.findall(text):
        exported = re.findall(
            r"^export (?:async )?(?:const|let|function|class) ([$\w]+)", text_of(module), re.MULTILINE
        )
        assert set(filter(None, wanted.split(", "))) <= set(exported), module


@pytest.mark.parametrize("entry", ENTRIES)
def test_joined_modules_are_one_script(entry: str) -> None:
    """Each module once, before those that import it; no name twice; no word of modules left."""
    script = joined(entry)

    names = Counter(DECLARED.findall(script))
    del names[""]
    assert [name for name, n in names.items() if n > 1] == []
    assert not re.search(r"^(import|export)\b", script, re.MULTILINE)
    assert script.index("const visible") < script.index("function diff(")


def test_every_module_is_of_a_page() -> None:
    """Every module belongs to a page."""
    used = set(ENTRIES)
    for _ in MODULES:
        used |= {module for name in used for _, module in IMPORT.findall(text_of(name))}

    assert used == set(MODULES)


def test_data_and_title_cannot_end_their_elements() -> None:
    """Marks of HTML are escaped, in the form of the place where they stand."""
    hostile = "</script></title><!--{{script}}"

    html = document(hostile, ["<p>body</p>"], module="report.js", data={"rows": hostile}).html

    assert html.count("</script>") == 2
    assert html.count("</title>") == 1
    assert "<!--" not in html
