"""What others are given to watch a project with: a dashboard for Grafana, and rules of alerts for Prometheus."""
