"""Fine-tuning jobs: requests, states, and the processes that train and answer chat. Only the trainer uses torch."""
