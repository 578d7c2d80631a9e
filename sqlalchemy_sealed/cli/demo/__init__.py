"""`sealed demo`: a small patient registry, and what the database holds of it."""
