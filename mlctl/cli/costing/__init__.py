"""The commands of `mlctl cost`, one file each."""
