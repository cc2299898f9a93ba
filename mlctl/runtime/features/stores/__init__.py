"""Online stores in Feast's own layout, read and written without Feast: whole rows, and a later event time always wins."""
