"""Documents that contain graders: fine-tuning jobs, evals, promptfoo files."""
