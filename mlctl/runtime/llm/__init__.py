"""The `llm_server` program: an engine of language models as a process that leaves nothing behind, and a server in front of it."""
