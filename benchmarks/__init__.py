"""What connecting costs: aioconnect beside its peers, measured in one run."""
