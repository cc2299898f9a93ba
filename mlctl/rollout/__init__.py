"""How one version of a model takes over from another: strategies, their state machine, gates and shares of traffic. Pure."""
