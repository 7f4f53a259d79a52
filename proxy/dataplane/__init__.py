"""A worker: the life of a request, its shadow, and the figures about both."""
