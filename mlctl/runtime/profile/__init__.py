"""The `profile` program: what is in a dataset. Its readers (`source`, `database`) also serve the `checks` program."""
