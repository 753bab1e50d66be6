"""How good is an encoder? Features once, then nearest neighbours, linear probes and their intervals."""
