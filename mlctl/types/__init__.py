"""Floor 0: frozen values that every other floor speaks in. No file, clock or network access here."""
