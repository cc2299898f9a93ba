"""A trained model of rows over whole tables at once: for batches, streams and exports."""
