"""The pages for people: HTML, CSS and JavaScript that `grader serve`, `grader report` and `grader compare -o` share.

Every page is one document that loads nothing. Its script is made of plain ES modules in `assets/`, joined when the page
is made; a content security policy names script and style by their hashes, so no text of the data can run.
"""
