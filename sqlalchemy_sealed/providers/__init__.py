"""KEK providers: who wraps data keys. One small file each, all of one shape."""
