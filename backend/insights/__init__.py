"""What the service knows, as pages, API and exports show it: read from the store, never changed."""
