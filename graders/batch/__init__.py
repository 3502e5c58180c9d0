"""Datasets: rows in from files and iterables, an append-only results file out, and what is made of it.

read.py      JSONL, CSV, Parquet, iterables -> DataRow
write.py     the results file: one writer, append-only, resumable
results.py   the results file read back: Header and ResultRow
run.py       one dataset through one grader, from file to file
check.py     does this spec fit this dataset? no model call
"""
