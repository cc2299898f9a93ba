"""Floor 2, pure: what a training takes of memory, time and money, by formulas that are calibrated with what past ones took."""
