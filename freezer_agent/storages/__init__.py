"""Put, get, list and delete objects by key."""
