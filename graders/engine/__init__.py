"""The engine: compile a spec once, grade one row or many."""
