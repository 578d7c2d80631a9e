"""Database servers that the tests start, use and throw away."""
