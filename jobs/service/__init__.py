"""The HTTP service: routes, batches of concurrent requests, who may ask, and OpenRefine."""
