"""Questions about models that were trained and registered."""
