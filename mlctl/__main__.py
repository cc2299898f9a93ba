"""`python -m mlctl` is `mlctl`, for machines whose scripts are not on the path."""

from mlctl.cli.main import main

if __name__ == "__main__":
    main()
