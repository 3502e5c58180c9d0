"""Rows of golds, the bench that grades each sample on them once, and what is read in the programs of a spec."""
