"""Reads documents with graders: specs, jobs, evals, requests and promptfoo's files.

    document = read_document(load("job.yaml"))
    for name, source in document.sources.items():
        checked = read(source)

Every command reads its SPEC argument by `read_document`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from graders.documents.document import Document, unique
from graders.documents.evals import read_eval
from graders.documents.jobs import read_job, reinforcement_of
from graders.documents.promptfoo import is_promptfoo, read_promptfoo
from graders.errors import Problem, SpecError
from graders.spec.reading import Source
from graders.spec.wording import Json
from graders.suggest import did_you_mean


@dataclass(frozen=True, slots=True)
class DocumentForm:
    """A form of document: its recogniser and its reader."""

    name: str
    looks_like: Callable[[Mapping[str, Json]], bool]
    read: Callable[[Mapping[str, Json]], Document]


def _read_grader(document: Mapping[str, Json]) -> Document:
    found = Document("a grader spec")
    found.add(document, (), str(document["type"]))
    return found


def _is_request(document: Mapping[str, Json]) -> bool:
    return isinstance(document.get("grader"), Mapping) and "type" not in document


def _read_request(document: Mapping[str, Json]) -> Document:
    """Read the body of the run or validate endpoint."""
    row = {key: document[key] for key in ("model_sample", "item") if key in document}
    found = Document("a request of the run endpoint", row=row)
    found.add(document["grader"], ("grader",), "grader")
    found.lost = [f"{key} is not part of a grader" for key in document if key != "grader"]
    return found


def _is_named(document: Mapping[str, Json]) -> bool:
    """Whether a document maps names to graders, as `grader convert` writes several of them."""
    return bool(document) and all(
        isinstance(inner, Mapping) and "type" in inner for inner in document.values()
    )


def _read_named(document: Mapping[str, Json]) -> Document:
    found = Document("graders by name")
    for key, grader in document.items():
        found.add({"name": key, **grader}, (key,), key)
    return found


def _read_page(document: Mapping[str, Json]) -> Document:
    return _read_list(document["data"], ("data",))


FORMS = (
    DocumentForm("an eval ('testing_criteria')", lambda d: isinstance(d.get("testing_criteria"), list) and bool(d["testing_criteria"]), read_eval),
    DocumentForm("a fine-tuning job ('method.reinforcement.grader')", lambda d: reinforcement_of(d) is not None, read_job),
    DocumentForm("a request of the run endpoint ('grader')", _is_request, _read_request),
    DocumentForm("promptfoo tests ('assert')", is_promptfoo, read_promptfoo),
    DocumentForm("a page of evals ('data')", lambda d: isinstance(d.get("data"), list) and bool(d["data"]), _read_page),
    DocumentForm("a grader spec ('type')", lambda d: "type" in d, _read_grader),
    DocumentForm("graders by name", _is_named, _read_named),
)  # fmt: skip


def _read_list(documents: list[Json], at: tuple[str | int, ...] = ()) -> Document:
    """Read a list of evals or graders: all of their graders, with unique names."""
    whole = Document("a list of documents")
    for index, document in enumerate(documents):
        one = _read_json(document)
        place = (*at, index)
        for name, held in one.graders.items():
            whole.graders[unique(name, whole.graders)] = type(held)(held.value, (*place, *held.at))
        whole.lost += one.lost
        whole.problems += one.problems
        whole.for_training |= one.for_training
    return whole


def _read_json(value: Json) -> Document:
    if isinstance(value, list) and value:
        return _read_list(value)
    if isinstance(value, Mapping):
        for form in FORMS:
            if form.looks_like(value):
                found = form.read(value)
                if found.graders or found.lost:
                    return found
    forms = ", ".join(form.name for form in FORMS)
    raise SpecError(
        [Problem("", f"Found no grader: expected one of: {forms}.{_description(value)}", "no_grader")]
    )


def _description(value: Json) -> str:
    if not isinstance(value, Mapping):
        return f" The document is a {type(value).__name__}."
    keys = ", ".join(repr(str(key)) for key in list(value)[:8])
    return f" The document has {keys or 'nothing'}."


@dataclass(frozen=True, slots=True)
class ReadDocument:
    """A document whose graders are sources, so that their problems have positions in its file.

    Attributes:
        sources: Its graders by name; each can be read or compiled.
        document: The whole document.
    """

    sources: Mapping[str, Source]
    document: Document

    def only(self, name: str) -> ReadDocument:
        """This document with only one of its graders.

        Raises:
            SpecError: no grader has that name.
        """
        if name not in self.sources:
            names = ", ".join(map(repr, self.sources))
            hint = did_you_mean(name, self.sources)
            message = f"There is no grader {name!r} in {self.document.form}; there are {names}."
            raise SpecError([Problem("", message, "no_such_grader", suggestion=hint)])
        return ReadDocument({name: self.sources[name]}, self.document)


def read_document(source: Source) -> ReadDocument:
    """Read a document in any known form.

    Raises:
        SpecError: it has no grader.
    """
    if not isinstance(source.value, (list, Mapping)) or not source.value:
        # of no known form: the problems of reading it as a grader are the most helpful
        return ReadDocument({"grader": source}, Document("a grader spec"))
    try:
        document = _read_json(source.value)
    except SpecError as error:
        raise SpecError(
            [Problem(p.path, p.message, p.code, file=source.file) for p in error.problems]
        ) from None
    sources = {
        name: Source(held.value, source.positions, source.file, held.at)
        for name, held in document.graders.items()
    }
    return ReadDocument(sources, document)
