"""HTML pages: the HTML, CSS and JavaScript that `grader serve`, `grader report` and `grader compare -o` share.

Every page is one document that loads nothing. Its script consists of plain ES modules in `assets/`, joined when the
page is made. A content security policy allows script and style by their hashes only, so no text of the data can run.
"""
