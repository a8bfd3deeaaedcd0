"""Pictures of a sweep as data for plotly: Optuna's own where it has them, each with its content in words."""
