"""The `stream_predictions` program: consume messages, predict, publish, and only then say that they are done."""
