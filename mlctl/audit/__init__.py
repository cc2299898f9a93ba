"""Floor 8: is this project run as one should run machine learning. Anti-patterns and maturity, from spec, state and ledger alone."""
