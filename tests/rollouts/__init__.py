"""What tests of rollouts share: a small server in place of the model server, and a deployment of it behind a gateway."""
