"""`python -m mlctl`: the command line, for where the script is not on the path."""

from mlctl.cli.main import main

if __name__ == "__main__":
    main()
