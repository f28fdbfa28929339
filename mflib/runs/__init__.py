"""The experiment workflow: what a notebook records, and how its execution becomes an MLflow run."""
