"""Problems, a collector of the problems of a spec, each with its path."""

from __future__ import annotations

from graders.errors import Problem
from graders.spec.wording import Json, path_text
from graders.template.mistakes import mistakes


class Problems:
    """A collector of problems; `at` gives the collector for a part of the spec."""

    def __init__(
        self, strict: bool = False, path: tuple[str | int, ...] = (), into: list[Problem] | None = None
    ) -> None:
        self.strict = strict
        self.path = path
        self.problems: list[Problem] = [] if into is None else into

    def at(self, *steps: str | int) -> Problems:
        return Problems(self.strict, self.path + steps, self.problems)

    def where(self, *steps: str | int) -> str:
        """The path of a part, as the user wrote it: `graders.exact.input[0].content`."""
        return path_text(self.path + steps)

    def error(self, message: str, code: str, *at: str | int, suggestion: str = "") -> None:
        self.problems.append(Problem(self.where(*at), message, code, "error", suggestion))

    def warn(self, message: str, code: str, *at: str | int, suggestion: str = "") -> None:
        self.problems.append(Problem(self.where(*at), message, code, "warning", suggestion))

    def lenient(self, message: str, code: str, *at: str | int, source: str) -> None:
        """Report a deviation that we accept and the service refuses or may refuse: a warning, under strict an error.

        Args:
            source: The evidence that the service refuses it, for the message under strict.
        """
        if self.strict:
            self.error(f"{message} Refused because of --strict: {source}.", code, *at)
        else:
            self.warn(message, code, *at)

    def template(self, text: Json, *at: str | int) -> None:
        """Check the variables of one text."""
        for mistake in mistakes(text) if isinstance(text, str) else ():
            if mistake.severity == "lenient":
                self.lenient(mistake.message, mistake.code, *at, source=mistake.source)
            else:
                report = self.error if mistake.fatal else self.warn
                report(mistake.message, mistake.code, *at)
