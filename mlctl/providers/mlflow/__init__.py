"""MLflow: tracking settings, evaluations with a champion gate, and the model registry behind them."""
