"""Diagnoses of this machine: Python, libraries, the sandbox, dependencies of specs' programs, and judges.

A part is a function that yields diagnoses, one line each.
"""
