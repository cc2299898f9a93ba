"""Floor 5: plan and apply. Knows kinds only by their protocol, and never prints."""
