"""One module for every change of the ledger's tables."""
