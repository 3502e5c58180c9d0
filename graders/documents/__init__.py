"""Graders inside other documents: fine-tuning jobs, evals, promptfoo files."""
