"""The new services, as another team wrote them: smaller, quicker, and not quite equal to the monolith."""
