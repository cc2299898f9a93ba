"""Start processes, find them again by a lock that they hold, and leave none of them behind."""
