"""What works on this machine: Python, libraries, the sandbox, what programs of specs need, and judges.

A part is a function that yields diagnoses, one line each.
"""
