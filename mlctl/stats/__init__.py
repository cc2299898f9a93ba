"""Floor 1: pure statistics, each with its source and a published reference value in a test. numpy and scipy are imported inside functions."""
