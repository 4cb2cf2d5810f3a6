"""What runs a plan. An engine knows nothing of what a stage does."""
