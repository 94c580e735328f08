"""Call scenarios, the same for every PBX."""
