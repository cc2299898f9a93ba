"""Where the ranks of a training run, and how they are started, followed, stopped and found again."""
