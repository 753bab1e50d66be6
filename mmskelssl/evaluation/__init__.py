"""Evaluation of encoders: features are extracted once, then measured by the protocols with confidence intervals."""
