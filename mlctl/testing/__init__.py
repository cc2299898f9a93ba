"""Floor 6, public API: what tests of a kind need. `harness` drives one kind without a project file; `conformance` checks the rules every kind keeps."""
