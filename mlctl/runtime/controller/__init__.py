"""The rollout controller: one process for each deployment, which owns its gateway, its servers and the way from one version to the next."""
