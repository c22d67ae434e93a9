"""The mathematics: pure functions on tensors, no state. Read this first."""
