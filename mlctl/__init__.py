"""mlctl: a declarative toolchain for machine learning. Plan, apply and watch a model's whole life from one YAML project."""

__version__ = "0.1.0"
