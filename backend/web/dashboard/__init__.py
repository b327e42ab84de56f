"""The pages: projects, their quality, their annotators, and what should be looked at again."""
