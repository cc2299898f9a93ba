"""The `@@section` section of mlctl projects."""
