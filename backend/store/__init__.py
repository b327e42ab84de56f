"""Everything that touches Redis: the service's working memory."""
