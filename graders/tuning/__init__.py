"""Fine-tuning jobs: their rows, their states, and the process that trains. No torch here: it stands in the trainer."""
