"""python -m graders.cli: the `grader` command."""

from graders.cli import main

main()
