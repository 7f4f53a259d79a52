"""The files that ``banyan export-tests`` writes beside the recorded requests. They need nothing but pytest."""
