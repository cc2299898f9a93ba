"""Many trainings with other hyperparameters, of which the best one counts."""
