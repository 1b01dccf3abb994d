"""Wire -> raw records. No module of this package speaks SQL."""
