"""Floor 4: the kinds mlctl ships, a folder for each tool. No folder knows another."""
