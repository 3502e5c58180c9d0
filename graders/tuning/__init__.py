"""Fine-tuning jobs: requests, states, the process that trains and the one that answers chat. No torch: it stands in the trainer."""
