"""Training, and the building of what Handloom ships; the library itself never imports it."""
